//! Under Patroni, with load: a planned switchover, servers that are killed, and a leader that returns. What was acknowledged stays,
//! and everything goes on by itself.
//!
//! It prints how long each took. No bound here is that of the documentation: a busy machine is no fault.

mod kept;
mod load;
mod scene;
mod watch;

use std::io::{Write, stderr};
use std::thread;

use anyhow::{Context, Result};
use lockstep_tests::patroni::Patroni;

use crate::patroni::kept::assert_kept;
use crate::patroni::load::Load;
use crate::patroni::scene::Scene;
use crate::patroni::watch::Watch;

#[test]
fn all_goes_on_when_another_server_leads() -> Result<()> {
    let Some(mut patroni) = Patroni::start("patroni")? else {
        return Ok(());
    };
    let mut scene = Scene::new(&patroni)?;
    writeln!(stderr(), "patroni: {}", patroni.versions()?)?;
    let load = Load::new(&patroni, &scene);
    thread::scope(|scope| -> Result<()> {
        let threads = load.start(scope);
        let all = failovers(&mut patroni, &mut scene, &load);
        // Also after a failure: otherwise the threads would never end.
        load.end();
        for thread in threads {
            thread
                .join()
                .ok()
                .context("a thread of the load panicked")??;
        }
        all
    })
    .with_context(|| scene.logs())?;
    assert_kept(&patroni, &mut scene, &load).with_context(|| scene.logs())
}

fn failovers(patroni: &mut Patroni, scene: &mut Scene, load: &Load) -> Result<()> {
    let all = || load.wait_until_all_go_on();
    all()?;
    let round = Watch::new(patroni, "switchover")?;
    patroni.switch_over()?;
    round.end(patroni, scene, all)?;

    let round = Watch::new(patroni, "kill -9 of the leader's postmaster")?;
    patroni.nodes()[patroni.leader()?].kill_postmaster()?;
    round.end(patroni, scene, all)?;

    let round = Watch::new(patroni, "kill -9 of the leader and of its Patroni")?;
    let lost = patroni.leader()?;
    patroni.node_mut(lost).kill()?;
    round.end(patroni, scene, all)?;
    // It follows, and gets all that it missed.
    patroni.node_mut(lost).start()?;
    patroni.wait_until_whole()?;
    all()?;

    let round = Watch::new(patroni, "the leader's machine hangs")?;
    let lost = patroni.leader()?;
    patroni.node_mut(lost).freeze()?;
    // Clients without a time limit of their own wait for it.
    round.end(patroni, scene, || load.wait_until_events_go_on())?;
    // A watchdog resets it. If it went on instead, Patroni 3.0.2 would take the lead back, and lose what came meanwhile.
    patroni.node_mut(lost).kill()?;
    patroni.node_mut(lost).start()?;
    patroni.wait_until_whole()?;
    all()
}
