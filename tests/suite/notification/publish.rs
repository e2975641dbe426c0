//! Publishing events: the kinds, and what switches each.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::batch::DELIVERIES;
use crate::service_account::number;
use crate::slack::workspaces;

/// The events that integrations can be notified of, each with GitLab's column and a payload of project 1.
pub(crate) fn kinds() -> Vec<(&'static str, &'static str, Value)> {
    let with = |kind: &str, more: Value| event(kind, 1, more);
    let group = json!({"object_kind": "group_mention", "mentioned": {"id": 1}, "object_attributes": {"noteable_type": "Issue"}});
    let mut confidential_group = group.clone();
    confidential_group["event_type"] = json!("group_confidential_mention");
    let attributes = |more: Value| json!({"object_attributes": more});
    vec![
        (
            "push",
            "push_events",
            with("push", json!({"ref": "refs/heads/main"})),
        ),
        (
            "tag_push",
            "tag_push_events",
            with("tag_push", json!({"ref": "refs/tags/v1"})),
        ),
        (
            "issue",
            "issues_events",
            with("issue", attributes(json!({"action": "open"}))),
        ),
        (
            "confidential_issue",
            "confidential_issues_events",
            with(
                "issue",
                attributes(json!({"action": "open", "confidential": true})),
            ),
        ),
        (
            "incident",
            "incident_events",
            with(
                "issue",
                attributes(json!({"type": "Incident", "confidential": true})),
            ),
        ),
        (
            "merge_request",
            "merge_requests_events",
            with("merge_request", attributes(json!({"action": "open"}))),
        ),
        (
            "note",
            "note_events",
            with("note", attributes(json!({"note": "x", "internal": false}))),
        ),
        (
            "confidential_note",
            "confidential_note_events",
            with("note", attributes(json!({"internal": true}))),
        ),
        (
            "pipeline",
            "pipeline_events",
            with(
                "pipeline",
                attributes(json!({"id": 1, "status": "failed", "ref": "main"})),
            ),
        ),
        (
            "wiki_page",
            "wiki_page_events",
            with("wiki_page", attributes(json!({"action": "update"}))),
        ),
        (
            "deployment",
            "deployment_events",
            with("deployment", json!({"status": "success"})),
        ),
        ("alert", "alert_events", with("alert", json!({}))),
        (
            "vulnerability",
            "vulnerability_events",
            with("vulnerability", json!({})),
        ),
        ("group_mention", "group_mention_events", group),
        (
            "group_confidential_mention",
            "group_confidential_mention_events",
            confidential_group,
        ),
    ]
}

/// A payload of a project whose default branch is main.
pub(crate) fn event(kind: &str, project: i64, more: Value) -> Value {
    let mut event = json!({
        "object_kind": kind,
        "user": {"id": 1, "username": "root"},
        "project": {"id": project, "default_branch": "main"},
    });
    if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
        event.extend(more.clone());
    }
    event
}

/// A database with Slack app integrations that are notified of everything in channel #c.
pub(crate) fn told(name: &str) -> Result<Client> {
    let mut client = workspaces(name, Layout::Narrow)?;
    switch(&mut client, true)?;
    client.batch_execute(
        "select lockstep.set_slack_notifications(id, '{\"channels\": \"#c\"}') from integrations",
    )?;
    Ok(client)
}

pub(crate) fn switch(client: &mut Client, on: bool) -> Result<()> {
    let columns: Vec<String> = kinds()
        .iter()
        .map(|(_, column, _)| format!("{column} = {on}"))
        .collect();
    client.batch_execute(&format!("update integrations set {}", columns.join(", ")))?;
    Ok(())
}

/// The result for an integration: integration, its workspace row, channels, outcome.
pub(crate) type Told = (i64, Option<i64>, Vec<String>, String);

pub(crate) fn publish_as(
    client: &mut Client,
    event: &Value,
    key: Option<&str>,
) -> Result<Vec<Told>> {
    let rows = client
        .query(
            "select integration_id, slack_integration_id, channels, outcome from lockstep.publish_event($1::text::jsonb, $2)",
            &[&event.to_string(), &key],
        )
        .with_context(|| event.to_string())?;
    let told = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)));
    Ok(told.collect())
}

pub(crate) fn publish(client: &mut Client, event: &Value) -> Result<Vec<Told>> {
    publish_as(client, event, None)
}

/// The outcomes of an event, one per integration.
pub(crate) fn outcomes(client: &mut Client, event: &Value) -> Result<Vec<(i64, String)>> {
    let told = publish(client, event)?;
    Ok(told
        .into_iter()
        .map(|(id, _, _, outcome)| (id, outcome))
        .collect())
}

/// The outcome of an event for a single integration.
pub(crate) fn outcome(client: &mut Client, event: &Value) -> Result<String> {
    let mut told = outcomes(client, event)?;
    ensure!(told.len() == 1, "{told:?}");
    Ok(told.remove(0).1)
}

#[test]
fn each_event_is_switched_by_its_column() -> Result<()> {
    let mut client = told("notify_column")?;
    // A group mention notifies the group's integration.
    client.batch_execute(
        "insert into integrations (id, group_id, type_new, category, active) values (50, 1, 'Integrations::GitlabSlackApplication', 'chat', true);
         insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values (50, 'A', 'Team A', 'g', 'U1', now(), now(), 50);
         select lockstep.set_slack_notifications(50, '{\"channels\": [\"#g\"]}')",
    )?;
    for (name, column, payload) in kinds() {
        let channel = if name.starts_with("group") {
            "#g"
        } else {
            "#c"
        };
        switch(&mut client, false)?;
        let told = publish(&mut client, &payload)?;
        ensure!(
            told.len() == 1 && told[0].3 == "event_off" && told[0].2.is_empty(),
            "{name} off: {told:?}"
        );
        // A pipeline that ends the same way again is not sent again.
        client.batch_execute(&format!(
            "update integrations set {column} = true; delete from lockstep_internal.pipeline_status"
        ))?;
        let told = publish(&mut client, &payload)?;
        ensure!(
            told.len() == 1 && told[0].3 == "queued" && told[0].2 == [channel],
            "{name} on: {told:?}"
        );
        // All except its own.
        switch(&mut client, true)?;
        client.batch_execute(&format!("update integrations set {column} = false"))?;
        ensure!(
            outcome(&mut client, &payload)? == "event_off",
            "{name} by another column"
        );
        switch(&mut client, true)?;
        client.batch_execute(&format!("alter table integrations drop column {column}"))?;
        ensure!(
            outcome(&mut client, &payload)? == "event_off",
            "{name} without a column"
        );
        client.batch_execute(&format!(
            "alter table integrations add column {column} boolean"
        ))?;
    }
    assert_eq!(number(&mut client, DELIVERIES)?, 15);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.event where payload is null"
        )?,
        45
    );
    Ok(())
}

#[test]
fn kinds_are_told_apart() -> Result<()> {
    let mut client = told("notify_kind")?;
    let attributes = |more: Value| json!({"object_attributes": more});
    for (kind, more, column) in [
        (
            "work_item",
            attributes(json!({"type": "Issue"})),
            "issues_events",
        ),
        (
            "work_item",
            attributes(json!({"work_item_type": "incident"})),
            "incident_events",
        ),
        (
            "work_item",
            attributes(json!({"confidential": true, "type": "Task"})),
            "confidential_issues_events",
        ),
        (
            "issue",
            json!({"event_type": "confidential_issue", "object_attributes": {}}),
            "confidential_issues_events",
        ),
        (
            "work_item",
            json!({"event_type": "confidential_work_item", "object_attributes": {"confidential": false}}),
            "confidential_issues_events",
        ),
        (
            "note",
            attributes(json!({"confidential": true})),
            "confidential_note_events",
        ),
        (
            "note",
            json!({"event_type": "confidential_note", "object_attributes": {}}),
            "confidential_note_events",
        ),
        (
            "note",
            json!({"issue": {"confidential": true}, "object_attributes": {}}),
            "confidential_note_events",
        ),
        (
            "note",
            json!({"event_type": "note", "object_attributes": {}, "work_item": {"confidential": true}}),
            "confidential_note_events",
        ),
        (
            "note",
            json!({"object_attributes": {}, "epic": {"confidential": true}}),
            "confidential_note_events",
        ),
        (
            "incident",
            attributes(json!({"action": "open"})),
            "incident_events",
        ),
        (
            "note",
            json!({"issue": {"confidential": false}, "object_attributes": {"internal": null}}),
            "note_events",
        ),
    ] {
        switch(&mut client, false)?;
        client.batch_execute(&format!("update integrations set {column} = true"))?;
        let payload = event(kind, 1, more);
        ensure!(outcome(&mut client, &payload)? == "queued", "{payload}");
    }
    Ok(())
}
