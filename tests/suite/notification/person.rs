//! The people that an event is for: who is mentioned, and who gets a direct message.

use anyhow::{Result, ensure};
use lockstep_tests::host;
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::filter::{pipeline, set};
use crate::notification::publish::{event, publish, told};
use crate::notification::settings::json_of;
use crate::surface::refusal::refused;

/// Ada (U3) and Bob (U4) are members of project 1, Cem (U5) has left it; Dan has linked no account.
const PEOPLE: &str = "
insert into users (id, username, organization_id) values (3, 'ada', 1), (4, 'bob', 1), (5, 'cem', 1), (6, 'dan', 1);
insert into chat_names (user_id, team_id, chat_id) values (3, 'A', 'U3'), (4, 'A', 'U4'), (5, 'A', 'U5'), (3, 'B', 'U9');
insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Namespace', 3), (20, 1, 'Project', 4)";

pub(super) fn people(name: &str) -> Result<Client> {
    let mut client = told(name)?;
    host::run(&mut client, host::MEMBERS)?;
    client.batch_execute(PEOPLE)?;
    set(
        &mut client,
        json!({"mentions": true, "own_actions": true, "branches": "all"}),
    )?;
    Ok(client)
}

/// An event of project 1 by that user.
pub(super) fn by(user: i64, kind: &str, attributes: Value, more: Value) -> Value {
    let mut event = event(kind, 1, more);
    event["user"] = json!({"id": user, "username": "somebody"});
    event["object_attributes"] = attributes;
    event
}

pub(super) fn users(ids: &[i64]) -> Value {
    ids.iter().map(|id| json!({"id": id})).collect()
}

pub(super) fn opened(by_user: i64, reviewers: &[i64]) -> Value {
    let more = json!({"reviewers": users(reviewers), "assignees": []});
    by(
        by_user,
        "merge_request",
        json!({"action": "open", "author_id": by_user}),
        more,
    )
}

pub(super) fn choose(client: &mut Client, user: &str, choices: &Value) -> Result<Value> {
    let query = format!("select lockstep_api.set_slack_person('A', null, '{user}', '{choices}')");
    json_of(client, &query)
}

/// What is decided of each person: user, Slack user, outcome.
pub(super) fn explained(client: &mut Client, event: &Value) -> Result<Vec<String>> {
    let rows = client.query(
        "select concat_ws(' ', user_id, nullif(array_to_string(channels, ','), ''), outcome)
           from lockstep.explain_event($1::text::jsonb) where user_id is not null",
        &[&event.to_string()],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Publishes an event; returns its deliveries: the channel, its mentions, and whether it waits.
pub(super) fn sent(client: &mut Client, event: &Value) -> Result<Vec<String>> {
    client.batch_execute(
        "delete from lockstep_internal.slack_delivery; delete from lockstep_internal.pipeline_status",
    )?;
    publish(client, event)?;
    let rows = client.query(
        "select concat_ws(' ', c.channel, d.mentions, case when d.not_before > now() then 'later' end)
           from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel order by d.id",
        &[],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[test]
fn people_are_notified_as_they_have_chosen() -> Result<()> {
    let mut client = people("person_choice")?;
    let quiet = json!({"from": "00:00", "until": "00:00", "time_zone": "Europe/Berlin"});
    let cases: [(Value, i64, &[&str], &[&str]); 8] = [
        (json!({}), 6, &["3 mentioned"], &["#c U3"]),
        (json!({"mentions": false}), 6, &["3 mentions_off"], &["#c"]),
        (json!({}), 3, &["3 own_action"], &["#c"]),
        (
            json!({"own_actions": true}),
            3,
            &["3 mentioned"],
            &["#c U3"],
        ),
        (
            json!({"direct_messages": true}),
            6,
            &["3 mentioned", "3 U3 queued"],
            &["#c U3", "U3"],
        ),
        (
            json!({"direct_messages": true}),
            3,
            &["3 own_action", "3 U3 own_action"],
            &["#c"],
        ),
        (
            json!({"mentions": false, "direct_messages": true}),
            6,
            &["3 mentions_off", "3 U3 queued"],
            &["#c", "U3"],
        ),
        (
            json!({"direct_messages": true, "quiet_hours": quiet}),
            6,
            &["3 quiet_hours", "3 U3 quiet_hours"],
            &["#c", "U3 later"],
        ),
    ];
    for (choices, author, outcomes, deliveries) in cases {
        client.batch_execute("delete from lockstep_internal.slack_person")?;
        choose(&mut client, "U3", &choices)?;
        let event = opened(author, &[3]);
        assert_eq!(explained(&mut client, &event)?, outcomes, "{choices}");
        assert_eq!(sent(&mut client, &event)?, deliveries, "{choices}");
    }
    // Whoever has left the project gets no direct message of it, and who has linked no account is not known.
    for user in ["U4", "U5"] {
        choose(&mut client, user, &json!({"direct_messages": true}))?;
    }
    let event = opened(3, &[4, 5, 6]);
    let expected = [
        "4 mentioned",
        "4 U4 queued",
        "5 mentioned",
        "5 U5 no_access",
        "6 not_linked",
    ];
    assert_eq!(explained(&mut client, &event)?, expected);
    assert_eq!(sent(&mut client, &event)?, ["#c U4 U5", "U4"]);
    // Two ways to one conversation are one message.
    set(&mut client, json!({"channels": ["#c", "U4"]}))?;
    assert_eq!(sent(&mut client, &opened(3, &[4]))?, ["#c U4", "U4 U4"]);
    Ok(())
}

/// Guests of a private project see its issues, but no code.
#[test]
fn direct_messages_need_the_role_to_read_them() -> Result<()> {
    let mut client = people("person_role")?;
    choose(&mut client, "U4", &json!({"direct_messages": true}))?;
    let item = |kind: &str| {
        let more = json!({"assignees": users(&[4])});
        by(6, kind, json!({"action": "open", "author_id": 3}), more)
    };
    let note = |noteable: &str| {
        let more = json!({noteable: {"author_id": 4}});
        by(6, "note", json!({"note": "x"}), more)
    };
    let mut failed = pipeline(1, "main", "failed");
    failed["user"] = json!({"id": 4});
    let deployment = by(
        4,
        "deployment",
        json!({}),
        json!({"status": "failed", "environment": "production"}),
    );
    for (event, role) in [
        (item("issue"), 10),
        (note("issue"), 10),
        (note("work_item"), 10),
        (opened(6, &[4]), 20),
        (item("merge_request"), 20),
        (note("merge_request"), 20),
        (failed, 20),
        (deployment, 20),
    ] {
        for level in [5, 10, 20] {
            client.execute(
                "update members set access_level = $1 where user_id = 4",
                &[&level],
            )?;
            let outcome = match level >= role {
                true => "4 U4 queued",
                false => "4 U4 no_access",
            };
            let found = explained(&mut client, &event)?;
            ensure!(
                found.contains(&outcome.to_owned()),
                "{level} {event}: {found:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn choices_are_checked() -> Result<()> {
    let mut client = people("person_refused")?;
    let default = json!({"mentions": true, "direct_messages": false, "own_actions": false, "quiet_hours": null, "linked": true});
    assert_eq!(choose(&mut client, "U3", &json!({}))?, default);
    assert_eq!(choose(&mut client, "U7", &json!({}))?["linked"], false);
    assert_eq!(
        crate::service_account::number(
            &mut client,
            "select count(*) from lockstep_internal.slack_person"
        )?,
        0
    );
    let call = |choices: &str| {
        format!("select lockstep_api.set_slack_person('A', null, 'U3', '{choices}')")
    };
    let hours = |from: &str, until: &str, zone: &str| {
        call(&json!({"quiet_hours": {"from": from, "until": until, "time_zone": zone}}).to_string())
    };
    for (call, problem) in [
        (call("[]"), "\"choices\" is not an object"),
        (call("{\"x\": true}"), "\"x\" is not a choice"),
        (call("{\"mentions\": 1}"), "\"mentions\" is not a boolean"),
        (
            call("{\"quiet_hours\": \"22-7\"}"),
            "\"quiet_hours\" is not an object",
        ),
        (call("{\"quiet_hours\": {}}"), "\"quiet_hours\" needs from"),
        (hours("24:00", "07:00", "UTC"), "\"quiet_hours\" needs from"),
        (hours("22:00", "07:00", "Mars/Olympus"), "time_zone"),
        (
            "select lockstep_api.set_slack_person('A', null, '', '{}')".to_owned(),
            "\"user_id\" is not the id",
        ),
    ] {
        refused(&mut client, &call, "22023", problem)?;
    }
    // An error changes nothing, and null restores a default.
    choose(
        &mut client,
        "U3",
        &json!({"mentions": false, "own_actions": true}),
    )?;
    refused(
        &mut client,
        &call("{\"mentions\": true, \"x\": 1}"),
        "22023",
        "\"x\"",
    )?;
    let shown = choose(&mut client, "U3", &json!({"own_actions": null}))?;
    assert_eq!(
        (&shown["mentions"], &shown["own_actions"]),
        (&json!(false), &json!(false))
    );
    Ok(())
}

/// A group of GitLab is a user group of Slack by a map, never by its name.
#[test]
fn groups_are_mentioned_by_a_map() -> Result<()> {
    let mut client = people("person_group")?;
    client.batch_execute(
        "insert into integrations (id, group_id, type_new, category, active, group_mention_events)
           values (50, 1, 'Integrations::GitlabSlackApplication', 'chat', true, true);
         insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
           values (50, 'A', 'Team A', 'g', 'U1', now(), now(), 50);
         select lockstep.set_slack_notifications(50, '{\"channels\": \"#g\", \"mentions\": true, \"user_groups\": {\"Group-1\": \"S1\", \"other\": \"S2\"}}')",
    )?;
    let mention = |path: &str| json!({"object_kind": "group_mention", "mentioned": {"id": 1, "full_path": path}, "object_attributes": {"noteable_type": "Issue"}});
    assert_eq!(sent(&mut client, &mention("group-1"))?, ["#g S1"]);
    assert_eq!(sent(&mut client, &mention("<!channel>"))?, ["#g"]);
    let set = |groups: &str| {
        format!("select lockstep.set_slack_notifications(50, '{{\"user_groups\": {groups}}}')")
    };
    for groups in [
        "{\"a\": \"channel\"}",
        "{\"a\": \"<!channel>\"}",
        "{\"a\": \"U3\"}",
        "{\"a\": 1}",
        "{\"\": \"S1\"}",
        "[]",
    ] {
        refused(&mut client, &set(groups), "22023", "\"user_groups")?;
    }
    // The map replaces the one before: a group that is left out has no user group any more.
    let shown = json_of(&mut client, &set("{\"Group-1\": \"S1\"}"))?;
    assert_eq!(shown["user_groups"], json!({"Group-1": "S1"}));
    let shown = json_of(&mut client, &set("{\"Group-1\": \"S1\", \"other\": null}"))?;
    assert_eq!(shown["user_groups"], json!({"Group-1": "S1"}));
    Ok(())
}

/// What stands for a Slack user in GitLab's table is no mention unless it is an id.
#[test]
fn odd_names_are_nobody() -> Result<()> {
    let mut client = people("person_odd")?;
    for odd in ["!channel", "U3|x>", "u3", "C1", "U", "U3 U4"] {
        client.execute(
            "update chat_names set chat_id = $1 where user_id = 4",
            &[&odd],
        )?;
        let found = sent(&mut client, &opened(6, &[3, 4]))?;
        ensure!(found == ["#c U3"], "{odd}: {found:?}");
    }
    Ok(())
}
