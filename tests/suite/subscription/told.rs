//! Which events a subscription gets, and why it does not.

use anyhow::Result;
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::filter::{pipeline, push};
use crate::notification::publish::{event, kinds};
use crate::subscription::{text, world};

/// Of each integration and subscription: which it is, the channels, the outcome.
fn rows(client: &mut Client, function: &str, event: &Value) -> Result<Vec<String>> {
    let query = format!(
        "select concat_ws(' ', 'i' || integration_id, 's' || subscription_id, nullif(array_to_string(channels, ','), ''), outcome)
           from lockstep.{function}($1::text::jsonb)"
    );
    let rows = client.query(&query, &[&event.to_string()])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What is said in advance, and what happens.
fn told(client: &mut Client, event: &Value) -> Result<Vec<String>> {
    let explained = rows(client, "explain_event", event)?;
    let published = rows(client, "publish_event", event)?;
    assert_eq!(explained, published);
    Ok(published)
}

fn follow(
    client: &mut Client,
    project: i64,
    team: &str,
    channel: &str,
    events: &str,
) -> Result<()> {
    client.batch_execute(&format!(
        "select lockstep.subscribe_slack_channel({project}, '{team}', '{channel}', {events})"
    ))?;
    Ok(())
}

#[test]
fn each_event_goes_where_it_is_wanted() -> Result<()> {
    let mut client = world("subscription_events")?;
    follow(&mut client, 1, "F", "#default", "null")?;
    let names: Vec<&str> = kinds().iter().map(|(name, ..)| *name).collect();
    let of_project = names.iter().filter(|name| !name.starts_with("group_"));
    let of_project: Vec<&str> = of_project.copied().collect();
    follow(
        &mut client,
        1,
        "F",
        "#all",
        &format!("'{{{},job}}'", of_project.join(",")),
    )?;
    let untold = [
        "confidential_issue",
        "incident",
        "alert",
        "confidential_note",
        "vulnerability",
    ];
    for (name, _, event) in kinds() {
        let rows = told(&mut client, &event)?;
        let expected = match name {
            // Groups are not followed.
            name if name.starts_with("group_") => vec![],
            name if untold.contains(&name) => vec!["s1 event_off", "s2 #all queued"],
            _ => vec!["s1 #default queued", "s2 #all queued"],
        };
        let of_subscriptions = rows.iter().filter(|row| row.starts_with('s'));
        let of_subscriptions: Vec<&String> = of_subscriptions.collect();
        assert_eq!(of_subscriptions, expected, "{name}");
    }
    let job = event(
        "build",
        1,
        json!({"build_status": "failed", "build_id": 1, "build_name": "x"}),
    );
    assert_eq!(
        told(&mut client, &job)?,
        ["i1 event_off", "s1 event_off", "s2 #all queued"]
    );
    // The filters are the defaults of an integration.
    for (event, outcome) in [
        (push("refs/heads/topic"), "branch"),
        (pipeline(7, "main", "success"), "pipeline_status"),
        (
            event(
                "issue",
                1,
                json!({"object_attributes": {"action": "update"}}),
            ),
            "action",
        ),
    ] {
        assert_eq!(
            told(&mut client, &event)?[1..],
            [format!("s1 {outcome}"), format!("s2 {outcome}")]
        );
    }
    // Another project is none of theirs, and a project without an integration is followed as well.
    assert_eq!(
        told(
            &mut client,
            &event("push", 2, json!({"ref": "refs/heads/main"}))
        )?,
        ["i2 #c queued"]
    );
    client.batch_execute("delete from slack_integrations; delete from integrations")?;
    assert_eq!(
        told(&mut client, &push("refs/heads/main"))?,
        ["s1 #default queued", "s2 #all queued"]
    );
    Ok(())
}

#[test]
fn what_holds_a_subscription_is_said() -> Result<()> {
    let mut client = world("subscription_held")?;
    client.batch_execute(
        "alter table projects add archived boolean not null default false, add pending_delete boolean",
    )?;
    follow(&mut client, 1, "F", "#f", "null")?;
    let state = "select string_agg(state, ',') from lockstep.slack_subscriptions()";
    let push = push("refs/heads/main");
    for (change, outcome, said) in [
        ("select 1", "#f queued", "active"),
        (
            "update projects set archived = true where id = 1",
            "archived",
            "archived",
        ),
        (
            "update projects set pending_delete = true where id = 1",
            "pending_delete",
            "pending_delete",
        ),
        (
            "update projects set archived = false, pending_delete = false where id = 1",
            "#f queued",
            "active",
        ),
        (
            "update lockstep_internal.slack_installation set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null where team_id = 'F'",
            "not_installed",
            "not_installed",
        ),
        (
            "select lockstep.install_slack_workspace('F', 'Followers', 'U3', 'BF', 'token2', 'iv2', '{commands,chat:write}')",
            "#f queued",
            "active",
        ),
    ] {
        client.batch_execute(change)?;
        let rows = told(&mut client, &push)?;
        assert_eq!(
            rows.last().map(String::as_str),
            Some(&*format!("s1 {outcome}")),
            "{change}"
        );
        let reported = "select coalesce(lockstep.status_report() #>> '{troubles,0,error}', '')";
        let held = match said {
            "not_installed" => said,
            _ => "",
        };
        assert_eq!(text(&mut client, reported)?, held, "{change}");
        let row = client.query_one(state, &[])?;
        assert_eq!(row.get::<_, &str>(0), said, "{change}");
    }
    Ok(())
}

/// Naming the channel of another workspace does not keep its messages away.
#[test]
fn an_id_that_was_only_given_silences_nobody() -> Result<()> {
    let mut client = world("subscription_given_id")?;
    client.batch_execute("select lockstep.set_slack_notifications(1, '{\"channels\": \"C9\"}')")?;
    follow(&mut client, 1, "F", "C9", "null")?;
    let push = push("refs/heads/main");
    assert_eq!(told(&mut client, &push)?, ["i1 C9 queued", "s1 C9 queued"]);
    // Slack has told both that it is theirs.
    client.batch_execute("update lockstep_internal.slack_channel set slack_id = 'C9'")?;
    assert_eq!(
        told(&mut client, &push)?,
        ["i1 C9 queued", "s1 same_channel"]
    );
    Ok(())
}

/// An event is sent to a channel once, whichever ways lead there.
#[test]
fn a_channel_is_told_once() -> Result<()> {
    let mut client = world("subscription_once")?;
    let push = push("refs/heads/main");
    // The channel of the integration itself.
    follow(&mut client, 1, "A", "#c", "null")?;
    assert_eq!(
        told(&mut client, &push)?,
        ["i1 #c queued", "s1 same_channel"]
    );
    // Slack tells that another name is the same channel, in this workspace or in one that shares it.
    follow(&mut client, 1, "A", "C9", "null")?;
    follow(&mut client, 1, "F", "#shared", "null")?;
    assert_eq!(
        told(&mut client, &push)?,
        [
            "i1 #c queued",
            "s1 same_channel",
            "s2 C9 queued",
            "s3 #shared queued"
        ]
    );
    client.batch_execute("update lockstep_internal.slack_channel set slack_id = 'C9' where channel in ('#c', '#shared')")?;
    assert_eq!(
        told(&mut client, &push)?,
        [
            "i1 #c queued",
            "s1 same_channel",
            "s2 same_channel",
            "s3 same_channel"
        ]
    );
    // Without the token of its workspace, or while Slack does not take messages for the channel there, the others are notified.
    let troubled = "insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error, since, last_at) values ('public', 1, 'A', '#c', 'not_in_channel', now(), now())";
    for (change, back) in [
        (
            "set session_replication_role = replica;
             update lockstep_internal.slack_installation set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null where team_id = 'A';
             update slack_integrations set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null where team_id = 'A';
             reset session_replication_role",
            "select lockstep.install_slack_workspace('A', 'Acme', 'U1', 'BA', 'token', 'iv', '{commands,chat:write}')",
        ),
        (
            troubled,
            "delete from lockstep_internal.slack_channel_trouble",
        ),
    ] {
        client.batch_execute(change)?;
        let rows = told(&mut client, &push)?;
        client.batch_execute(back)?;
        assert_eq!(
            rows.last().map(String::as_str),
            Some("s3 #shared queued"),
            "{change}"
        );
    }
    // Unless the integration does not tell it.
    client.batch_execute("update integrations set push_events = false where id = 1")?;
    assert_eq!(
        told(&mut client, &push)?,
        [
            "i1 event_off",
            "s1 #c queued",
            "s2 same_channel",
            "s3 same_channel"
        ]
    );
    // A pipeline that the integration does not get because it changes nothing.
    client.batch_execute(
        "select lockstep.set_slack_notifications(1, '{\"only_changed_pipelines\": true}')",
    )?;
    told(&mut client, &pipeline(1, "main", "failed"))?;
    assert_eq!(
        told(&mut client, &pipeline(2, "main", "failed"))?,
        [
            "i1 pipeline_status",
            "s1 #c queued",
            "s2 same_channel",
            "s3 same_channel"
        ]
    );
    let written = "select count(*) from lockstep_internal.slack_delivery d join lockstep_internal.event e on e.id = d.event where e.payload is null";
    assert_eq!(client.query_one(written, &[])?.get::<_, i64>(0), 0);
    Ok(())
}
