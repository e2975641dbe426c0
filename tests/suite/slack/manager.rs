//! Who manages an integration: never simply whoever installed the app last.

use anyhow::{Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use super::workspaces;
use crate::surface::refusal::refused;

/// Ada (U3) is a maintainer of group 1, Bob (U4) a developer of project 1, Cem (U5) a maintainer of project 2, all with linked
/// accounts.
const PEOPLE: &str = "
insert into users (id, username, organization_id) values (3, 'ada', 1), (4, 'bob', 1), (5, 'cem', 1);
insert into chat_names (user_id, team_id, chat_id) values (3, 'A', 'U3'), (4, 'A', 'U4'), (5, 'A', 'U5');
insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Namespace', 3), (30, 1, 'Project', 4), (40, 2, 'Project', 5)";

fn people(name: &str) -> Result<Client> {
    let mut client = workspaces(name, Layout::Narrow)?;
    host::run(&mut client, host::MEMBERS)?;
    client.batch_execute(PEOPLE)?;
    Ok(client)
}

fn managed(client: &mut Client, user: &str) -> Result<Vec<i64>> {
    let query = "select array(select unnest(lockstep_api.managed_slack_integrations('A', null, $1, '{1,2,3,4,5}')) order by 1)";
    Ok(client.query_one(query, &[&user])?.get(0))
}

fn switch(user: &str) -> String {
    format!(
        "select * from lockstep_api.set_slack_integration_active('A', null, 1, '{user}', false)"
    )
}

#[test]
fn a_renewal_gives_nobody_a_right() -> Result<()> {
    let mut client = people("manager_renewal")?;
    client.batch_execute(
        "select * from lockstep.install_slack_workspace('A', 'Team A', 'UEVE', 'B1', 'token2', 'iv2', '{commands}')",
    )?;
    let installer: String = client
        .query_one("select user_id from slack_integrations where id = 1", &[])?
        .get(0);
    assert_eq!(installer, "UEVE");
    assert!(managed(&mut client, "UEVE")?.is_empty());
    assert_eq!(managed(&mut client, "U1")?, [1, 2, 3, 4]);
    for call in [
        switch("UEVE"),
        "select * from lockstep_api.set_slack_integration_settings('A', null, 1, 'UEVE', false, '{\"channels\": [\"#eve\"]}', null)".to_owned(),
        "select * from lockstep_api.test_slack_workspace_integration('A', null, 1, 'UEVE', false)".to_owned(),
    ] {
        refused(&mut client, &call, "42501", "does not manage")?;
    }
    client.batch_execute(&switch("U1"))?;
    // A user who was allowed to install it for one integration manages that one.
    client.batch_execute(
        "select * from lockstep.install_slack_workspace('A', 'Team A', 'UEVE', 'B1', 'token3', 'iv3', '{commands}', project_id => 3)",
    )?;
    assert_eq!(managed(&mut client, "UEVE")?, [3]);
    Ok(())
}

#[test]
fn a_linked_account_manages_what_its_role_lets_it() -> Result<()> {
    let mut client = people("manager_account")?;
    assert_eq!(managed(&mut client, "U3")?, [1, 2, 3, 4], "a group's");
    assert_eq!(managed(&mut client, "U4")?, [0; 0], "a developer");
    assert_eq!(managed(&mut client, "U5")?, [2], "a project's");
    client.batch_execute(&switch("U3"))?;
    refused(&mut client, &switch("U5"), "42501", "does not manage")?;
    // The account is linked in another workspace.
    refused(
        &mut client,
        "select * from lockstep_api.set_slack_integration_active('B', null, 5, 'U3', false)",
        "42501",
        "does not manage",
    )?;
    for (change, back) in [
        (
            "update users set state = 'blocked' where id = 3",
            "update users set state = 'active' where id = 3",
        ),
        (
            "update members set expires_at = now() - interval '1 day' where user_id = 3",
            "update members set expires_at = null where user_id = 3",
        ),
        (
            "update members set requested_at = now() where user_id = 3",
            "update members set requested_at = null where user_id = 3",
        ),
        (
            "update members set access_level = 30 where user_id = 3",
            "update members set access_level = 50 where user_id = 3",
        ),
        (
            "update members set source_id = 2 where user_id = 3",
            "update members set source_id = 1 where user_id = 3",
        ),
    ] {
        client.batch_execute(change)?;
        ensure!(managed(&mut client, "U3")?.is_empty(), "{change}");
        client.batch_execute(back)?;
        assert_eq!(managed(&mut client, "U3")?, [1, 2, 3, 4], "{back}");
    }
    // Without linked accounts there are tickets.
    client.batch_execute("drop table chat_names")?;
    assert!(managed(&mut client, "U3")?.is_empty());
    assert_eq!(managed(&mut client, "U1")?, [1, 2, 3, 4]);
    Ok(())
}

#[test]
fn confidential_events_go_where_an_account_says() -> Result<()> {
    let mut client = people("manager_confidential")?;
    let set = |user: &str, manager: bool, settings: &str, events: &str| {
        format!(
            "select * from lockstep_api.set_slack_integration_settings('A', null, 1, '{user}', {manager}, '{settings}', '{events}')"
        )
    };
    client.batch_execute("update integrations set confidential_note_events = false")?;
    let on = r#"{"confidential_issue": true}"#;
    let needs = "only a linked account";
    refused(
        &mut client,
        &set("U1", false, r##"{"channels": ["#all"]}"##, on),
        "28000",
        needs,
    )?;
    refused(
        &mut client,
        &set(
            "U9",
            true,
            r##"{"event_channels": {"confidential_issue": ["#eve"]}}"##,
            on,
        ),
        "28000",
        needs,
    )?;
    client.batch_execute(&set(
        "U3",
        false,
        r##"{"channels": ["#all"], "event_channels": {"confidential_issue": ["#team"]}}"##,
        on,
    ))?;
    // Other changes work as before, and removing channels is allowed.
    client.batch_execute(&set(
        "U1",
        false,
        r##"{"channels": ["#other"]}"##,
        r#"{"push": true}"#,
    ))?;
    refused(
        &mut client,
        &set(
            "U1",
            false,
            r##"{"event_channels": {"confidential_issue": null}}"##,
            "{}",
        ),
        "28000",
        needs,
    )?;
    refused(
        &mut client,
        &set(
            "U1",
            false,
            r##"{"event_channels": {"confidential_issue": ["#eve"]}}"##,
            "{}",
        ),
        "28000",
        needs,
    )?;
    client.batch_execute(&set("U1", false, "{}", r#"{"confidential_issue": false}"#))?;
    Ok(())
}

/// What is off now may be switched on later, by somebody who trusts that an account has chosen the channels.
#[test]
fn confidential_events_that_are_off_go_where_an_account_says() -> Result<()> {
    let mut client = people("manager_confidential_off")?;
    let set = |user: &str, settings: &str| {
        format!(
            "select * from lockstep_api.set_slack_integration_settings('A', null, 1, '{user}', {}, '{settings}', null)",
            user == "U9"
        )
    };
    client.batch_execute(
        "update integrations set confidential_issues_events = false, confidential_note_events = false;
         update integrations set inherit_from_id = 1 where id = 2; update integrations set inherit_from_id = 2 where id = 3",
    )?;
    let needs = "only a linked account";
    let traps = [
        r##"{"event_channels": {"confidential_issue": ["#trap"]}}"##,
        r##"{"event_channels": {"vulnerability": ["#trap"]}}"##,
        r##"{"routes": [{"channels": ["#trap"], "events": ["push", "confidential_note"]}]}"##,
    ];
    for settings in traps {
        for user in ["U1", "U9"] {
            refused(&mut client, &set(user, settings), "28000", needs)?;
        }
    }
    // What others get, too, is seen by whoever switches more on.
    let common = r##"{"channels": ["#all"], "routes": [{"channels": ["#r"]}, {"channels": ["#r"], "events": ["issue"]}]}"##;
    client.batch_execute(&set("U1", common))?;
    client.batch_execute(&set(
        "U1",
        r##"{"event_channels": {"confidential_issue": ["#all"]}}"##,
    ))?;
    // Where the settings are inherited the event is on.
    for heir in [2, 3] {
        client.batch_execute(&format!(
            "update integrations set confidential_note_events = (id = {heir})"
        ))?;
        for settings in [
            r##"{"channels": ["#all", "#trap"]}"##,
            r##"{"event_channels": {"note": ["#trap"]}}"##,
        ] {
            for user in ["U1", "U9"] {
                refused(&mut client, &set(user, settings), "28000", needs)?;
            }
        }
        client.batch_execute(&set("U1", r##"{"event_channels": {"push": ["#pushes"]}}"##))?;
    }
    client.batch_execute("update integrations set confidential_note_events = false")?;
    for settings in traps {
        client.batch_execute(&set("U3", settings))?;
        // It is there now.
        client.batch_execute(&set("U1", settings))?;
    }
    Ok(())
}

/// An incident may be confidential.
#[test]
fn incidents_go_where_an_account_says() -> Result<()> {
    let mut client = people("manager_incidents")?;
    let set = |user: &str, settings: &str, events: &str| {
        format!(
            "select * from lockstep_api.set_slack_integration_settings('A', null, 1, '{user}', {}, '{settings}', '{events}')",
            user == "U9"
        )
    };
    client.batch_execute(
        "update integrations set confidential_issues_events = false, confidential_note_events = false, incident_events = false",
    )?;
    let needs = "only a linked account";
    let common = r##"{"channels": ["#all"], "routes": [{"channels": ["#r"]}]}"##;
    client.batch_execute(&set("U1", common, "{}"))?;
    let on = r#"{"incident": true}"#;
    let traps = [
        (r##"{"event_channels": {"incident": ["#eve"]}}"##, "{}"),
        (r##"{"event_channels": {"incident": ["#eve"]}}"##, on),
        (
            r##"{"routes": [{"channels": ["#eve"], "events": ["push", "incident"]}]}"##,
            "{}",
        ),
        (r##"{"channels": ["#eve"]}"##, on),
    ];
    for (settings, events) in traps {
        for user in ["U1", "U9"] {
            refused(&mut client, &set(user, settings, events), "28000", needs)?;
        }
    }
    client.batch_execute(&set(
        "U3",
        r##"{"event_channels": {"confidential_issue": ["#team"]}}"##,
        r#"{"incident": true, "confidential_issue": true}"#,
    ))?;
    let traps = [
        r##"{"channels": ["#all", "#eve"]}"##,
        r##"{"event_channels": {"incident": ["#eve"]}}"##,
        // Incidents go to this channel, but confidential issues do not.
        r##"{"event_channels": {"confidential_issue": null}}"##,
    ];
    for settings in traps {
        for user in ["U1", "U9"] {
            refused(&mut client, &set(user, settings, "{}"), "28000", needs)?;
        }
    }
    // A route without events is for incidents that everybody may see.
    client.batch_execute(&set(
        "U9",
        r##"{"routes": [{"channels": ["#eve"]}]}"##,
        "{}",
    ))?;
    client.batch_execute(&set(
        "U9",
        r##"{"event_channels": {"push": ["#eve"]}}"##,
        "{}",
    ))?;
    Ok(())
}
