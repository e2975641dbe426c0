//! What a webhook may report is decided once.

use anyhow::Result;
use lockstep_tests::gitlab::{Webhook, pipeline};

use super::spool::{Directory, OF_GROUP, assert_spooled, scene, stored, wait_until_replayed};
use crate::concurrency::PATIENCE;
use crate::database::cluster;

/// The project moves while the webhook waits, after its secret was found to cover it.
#[test]
fn a_project_that_moves_takes_nothing_along() -> Result<()> {
    const DATABASE: &str = "spool_reach";
    let directory = Directory::new(DATABASE)?;
    let (mut scene, _) = scene(DATABASE, &directory, &[])?;
    let by_path = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(OF_GROUP);
    let mut other = cluster()?.connect(DATABASE)?;
    let mut open = other.transaction()?;
    open.execute(
        "select from lockstep.publish_event($1::text::jsonb)",
        &[&pipeline(1, 41, "failed").to_string()],
    )?;
    assert_spooled(&by_path.send_as("before", &pipeline(1, 42, "failed"))?)?;
    scene
        .stage
        .client
        .batch_execute("update projects set path = 'moved' where id = 1")?;
    // Behind the first nobody has asked yet.
    assert_spooled(&by_path.send_as("after", &pipeline(1, 43, "failed"))?)?;
    open.rollback()?;
    wait_until_replayed(&scene.stage.sidecar)?;
    assert_eq!(stored(&mut scene)?, ["before"]);
    Ok(())
}
