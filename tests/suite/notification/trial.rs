//! The test message to an integration's channels, and troubles that end with a channel.

use crate::delivery::claim::{claim, numbers};
use crate::notification::inheritance::GROUPS;
use crate::notification::publish::told;
use crate::notification::settings::{json_of, set};
use crate::service_account::number;
use crate::surface::refusal::refused;
use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::json;

/// A misspelled channel is no longer in trouble once it is corrected, nor for integrations that inherit it.
#[test]
fn troubles_end_with_the_channel() -> Result<()> {
    let mut client = told("settings_trouble")?;
    set(&mut client, 1, &json!({"channels": "#depolys, #old"}))?;
    client.batch_execute(
        "insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error)
         values ('public', 1, 'A', '#depolys', 'channel_not_found'), ('public', 1, 'A', '#old', 'is_archived'),
                ('public', 2, 'A', '#depolys', 'channel_not_found')",
    )?;
    let troubles = |client: &mut Client| -> Result<Vec<String>> {
        let query = "select channel from lockstep.slack_channel_troubles('A', null, 1)";
        let rows = client.query(query, &[])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    assert_eq!(troubles(&mut client)?, ["#depolys", "#old"]);
    set(&mut client, 1, &json!({"channels": "#deploys, #old"}))?;
    assert_eq!(troubles(&mut client)?, ["#old"]);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_channel_trouble"
        )?,
        2
    );
    // Troubles of channels that are no longer inherited exist, but are not shown.
    client.batch_execute(
        "delete from lockstep_internal.slack_notification where integration_id = 1; update integrations set inherit_from_id = 2 where id = 1",
    )?;
    set(&mut client, 2, &json!({"channels": "#new"}))?;
    assert_eq!(troubles(&mut client)?, Vec::<String>::new());
    set(&mut client, 2, &json!({"channels": "#old"}))?;
    assert_eq!(troubles(&mut client)?, ["#old"]);
    Ok(())
}

/// Deliveries with their channel and workspace.
fn tried(client: &mut Client, query: &str) -> Result<Vec<(String, String)>> {
    let mut tried = Vec::new();
    for row in client.query(&format!("select delivery, channel from {query}"), &[])? {
        // Not in the same statement, which does not see what the function writes.
        let delivery = client.query_one(
            "select c.channel, c.team_id from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel
               join lockstep_internal.event e on e.id = d.event and e.payload ->> 'object_kind' = 'lockstep_test'
              where d.id = $1 and d.status = 'waiting' and d.integration_id = 1",
            &[&row.get::<_, i64>(0)],
        )?;
        ensure!(
            delivery.get::<_, &str>(0) == row.get::<_, &str>(1),
            "{query}"
        );
        tried.push((delivery.get(0), delivery.get(1)));
    }
    Ok(tried)
}

#[test]
fn each_channel_is_tried_once() -> Result<()> {
    let mut client = told("settings_test")?;
    set(
        &mut client,
        1,
        &json!({"channels": "#a, #b", "event_channels": {"note": "#n", "push": "#b, #p", "alert": "#a"}}),
    )?;
    let row = |channel: &str, team: &str| (channel.to_owned(), team.to_owned());
    let all = "lockstep.test_slack_integration(1)";
    assert_eq!(
        tried(&mut client, all)?,
        [
            row("#a", "A"),
            row("#b", "A"),
            row("#p", "A"),
            row("#n", "A")
        ]
    );
    // In each of its workspaces; from one workspace only there.
    client.batch_execute(
        "insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values (200, 'C', 'C', 'again', 'U1', now(), now(), 1);
         insert into lockstep_internal.slack_manager (schema, integration_id, team_id, user_id) values ('public', 1, 'C', 'U1')",
    )?;
    set(
        &mut client,
        1,
        &json!({"event_channels": null, "channels": "#a"}),
    )?;
    assert_eq!(tried(&mut client, all)?, [row("#a", "A"), row("#a", "C")]);
    assert_eq!(
        tried(
            &mut client,
            "lockstep_api.test_slack_workspace_integration('C', null, 200, 'U1', false)"
        )?,
        [row("#a", "C")]
    );
    let payload = json_of(
        &mut client,
        "select payload from lockstep_internal.event order by id desc limit 1",
    )?;
    assert_eq!(
        payload,
        json!({"object_kind": "lockstep_test", "integration": {"id": 1, "alias": "again"}})
    );
    let many: Vec<String> = (0..9).map(|n| format!("#c{n}")).collect();
    set(
        &mut client,
        1,
        &json!({"channels": many, "event_channels": {"push": "#x, #y, #z"}}),
    )?;
    let channels = tried(
        &mut client,
        "lockstep_api.test_slack_workspace_integration('A', null, 1, 'U9', true) where delivery is not null",
    )?;
    assert_eq!(channels.len(), 10);
    assert_eq!(channels[9], row("#x", "A"));
    // The others are named.
    let untried = client.query(
        "select channel from lockstep_api.test_slack_workspace_integration('A', null, 1, 'U1', false) where delivery is null",
        &[],
    )?;
    let untried: Vec<&str> = untried.iter().map(|row| row.get(0)).collect();
    assert_eq!(untried, ["#y", "#z"]);
    set(
        &mut client,
        1,
        &json!({"channels": null, "event_channels": null}),
    )?;
    refused(
        &mut client,
        &format!("select {all}"),
        "55000",
        "has no channels",
    )?;
    refused(
        &mut client,
        "select lockstep.test_slack_integration(8)",
        "55000",
        "not installed",
    )?;
    Ok(())
}

/// Where its events go: through the workspace of one that it inherits from.
#[test]
fn an_integration_that_inherits_its_workspace_is_tried() -> Result<()> {
    let mut client = told("settings_test_inherited")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "select app(100, 'group_id', 20);
         insert into integrations (id, project_id, type_new, category, active, inherit_from_id) values
           (101, 30, 'Integrations::GitlabSlackApplication', 'chat', true, 100), (102, 31, 'Integrations::GitlabSlackApplication', 'chat', true, 101)",
    )?;
    for integration in [101, 102] {
        client.batch_execute("delete from lockstep_internal.slack_delivery; delete from lockstep_internal.slack_channel")?;
        let tried: String = client
            .query_one(
                &format!("select string_agg(channel, ', ') from lockstep.test_slack_integration({integration})"),
                &[],
            )?
            .get(0);
        assert_eq!(tried, "#c", "{integration}");
        let payload = json_of(
            &mut client,
            "select payload from lockstep_internal.event order by id desc limit 1",
        )?;
        assert_eq!(
            payload["integration"],
            json!({"id": integration, "alias": "app 100"})
        );
        assert_eq!(numbers(&claim(&mut client, 10)?).len(), 1, "{integration}");
    }
    // A circle has no workspace.
    client.batch_execute("delete from slack_integrations where integration_id = 100; update integrations set inherit_from_id = 102 where id = 100")?;
    refused(
        &mut client,
        "select lockstep.test_slack_integration(102)",
        "55000",
        "not installed",
    )?;
    Ok(())
}
