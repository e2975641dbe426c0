//! Settings that two sessions change or remove at once.

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::notification::publish::told;
use crate::notification::settings::json_of;
use crate::surface::refusal::refused;
use anyhow::{Result, anyhow, ensure};
use postgres::Client;
use postgres::error::SqlState;
use serde_json::{Value, json};

const RESET: &str = "select lockstep.reset_slack_notifications(1)";
const ALL: &str = "select lockstep.set_slack_notifications(1, '{\"branches\": \"all\"}')";

/// Integration 1 has settings of its own, in place of those of integration 2.
fn heir(name: &str) -> Result<Client> {
    let mut client = told(name)?;
    client.batch_execute(
        "update integrations set inherit_from_id = 2 where id = 1;
         select lockstep.set_slack_notifications(1, '{\"channels\": \"#own\", \"labels\": [\"own\"]}');
         select lockstep.set_slack_notifications(2, '{\"channels\": \"#group\"}')",
    )?;
    Ok(client)
}

fn now(client: &mut Client) -> Result<Value> {
    json_of(client, "select lockstep.slack_notifications(1)")
}

fn with_routes(routes: &str, version: &str) -> String {
    format!(
        "select * from lockstep_api.set_slack_integration_settings('A', null, 1, 'U1', false, '{{\"routes\": {routes}}}', null, '{version}')"
    )
}

/// The version of the routes and reminders of integration 1.
pub(crate) fn version(client: &mut Client) -> Result<String> {
    let query = "select lockstep_api.slack_workspace_notifications('A', null, 1) ->> 'version'";
    Ok(client.query_one(query, &[])?.get(0))
}

/// What a session says that waits until another one has removed the settings.
fn after_reset(name: &str, client: &mut Client, change: &str) -> Result<Option<SqlState>> {
    let mut first = cluster()?.connect(name)?;
    let mut second = cluster()?.connect(name)?;
    let pid = pid_of(&mut second)?;
    let mut resetting = first.transaction()?;
    resetting.batch_execute(RESET)?;
    std::thread::scope(|scope| {
        let session = scope.spawn(|| second.batch_execute(change));
        ensure!(settle(&session, client, pid)?, "it does not wait");
        resetting.commit()?;
        let said = session.join().map_err(|_| anyhow!("a session panicked"))?;
        Ok(said.err().and_then(|error| error.code().cloned()))
    })
}

#[test]
fn what_was_removed_meanwhile_does_not_come_back() -> Result<()> {
    let name = "settings_removed";
    let mut client = heir(name)?;
    assert_eq!(after_reset(name, &mut client, ALL)?, None);
    let settings = now(&mut client)?;
    assert_eq!(
        (
            &settings["branches"],
            &settings["channels"],
            &settings["labels"]
        ),
        (&json!("all"), &json!(["#group"]), &json!([]))
    );
    // Nor are routes added to those that are not there any more.
    client.batch_execute(
        "select lockstep.set_slack_notifications(1, '{\"routes\": [{\"channels\": \"#own\"}]}')",
    )?;
    let seen = version(&mut client)?;
    let change = with_routes(r##"[{"channels": "#own"}, {"channels": "#more"}]"##, &seen);
    assert_eq!(
        after_reset(name, &mut client, &change)?,
        Some(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
    );
    assert_eq!(now(&mut client)?["from"], json!(2));
    Ok(())
}

/// Somebody removes the row while another one waits to lock it.
#[test]
fn a_change_is_not_lost_with_the_row_it_waited_for() -> Result<()> {
    let name = "settings_row_gone";
    let mut client = heir(name)?;
    let mut holder = cluster()?.connect(name)?;
    let mut first = cluster()?.connect(name)?;
    let mut second = cluster()?.connect(name)?;
    let pids = [pid_of(&mut first)?, pid_of(&mut second)?];
    let mut holding = holder.transaction()?;
    holding.batch_execute(
        "select from lockstep_internal.slack_notification where integration_id = 1 for update",
    )?;
    std::thread::scope(|scope| -> Result<()> {
        let resetting = scope.spawn(|| first.batch_execute(RESET));
        ensure!(
            settle(&resetting, &mut client, pids[0])?,
            "it does not wait"
        );
        let setting = scope.spawn(|| second.batch_execute(ALL));
        ensure!(settle(&setting, &mut client, pids[1])?, "it does not wait");
        holding.commit()?;
        for session in [resetting, setting] {
            session
                .join()
                .map_err(|_| anyhow!("a session panicked"))??;
        }
        Ok(())
    })?;
    let settings = now(&mut client)?;
    assert_eq!(
        (
            &settings["branches"],
            &settings["channels"],
            &settings["from"]
        ),
        (&json!("all"), &json!(["#group"]), &json!(1))
    );
    Ok(())
}

/// Whoever saves a form with the routes that it showed has not changed them.
#[test]
fn routes_that_were_left_alone_stay_as_they_are_now() -> Result<()> {
    let mut client = heir("settings_left_alone")?;
    let seen = version(&mut client)?;
    client.batch_execute(
        "select lockstep.set_slack_notifications(1, '{\"routes\": [{\"channels\": \"#new\"}], \"all_routes\": true}')",
    )?;
    let save = |routes: &str| {
        with_routes(
            &format!("{routes}, \"all_routes\": false, \"labels\": [\"saved\"]"),
            &seen,
        )
    };
    client.batch_execute(&save("[]"))?;
    let settings = now(&mut client)?;
    assert_eq!(
        (
            &settings["routes"],
            &settings["all_routes"],
            &settings["labels"]
        ),
        (
            &json!([{"channels": ["#new"]}]),
            &json!(true),
            &json!(["saved"])
        )
    );
    let other = save(r##"[{"channels": "#other"}]"##);
    refused(&mut client, &other, "55000", "have changed since")?;
    Ok(())
}
