//! A workspace that is new, as far as SQL goes.

use anyhow::Result;
use lockstep_tests::host::Layout;

use super::workspaces;
use crate::service_account::number;
use crate::surface::refusal::refused;

fn finish(team: &str) -> String {
    format!(
        "select * from lockstep_api.finish_slack_install('state', '{team}', 'Team', 'U2', 'B2', 'token 2', 'iv 2', '{{commands}}',
                                                     null, null, null, null, null, may_be_new => false)"
    )
}

#[test]
fn a_new_workspace_is_refused_without_a_ticket() -> Result<()> {
    let mut client = workspaces("slack_new", Layout::Narrow)?;
    client.batch_execute(
        "select lockstep_api.begin_slack_install('state', 'browser'), lockstep_api.take_slack_install('state', 'browser')",
    )?;
    refused(&mut client, &finish("TNEW"), "28000", "needs a ticket")?;
    refused(
        &mut client,
        &finish(&"T".repeat(1000)),
        "28000",
        "needs a ticket",
    )?;
    let installed =
        "select count(*) from lockstep_internal.slack_installation where team_id = 'TNEW'";
    assert_eq!(number(&mut client, installed)?, 0);
    // One that has rows of the application's is known.
    client.batch_execute("delete from lockstep_internal.slack_installation")?;
    client.batch_execute(&finish("A"))?;
    Ok(())
}
