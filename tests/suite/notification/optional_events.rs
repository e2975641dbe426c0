//! Events that GitLab has no switch for, changes that are only sent on request, and deployments.

use anyhow::{Result, ensure};
use lockstep_tests::host;
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::filter::{check, set};
use crate::notification::publish::{event, publish, told};
use crate::notification::settings::json_of;
use crate::surface::refusal::refused;

fn job(more: &[(&str, Value)]) -> Value {
    let mut job = event(
        "build",
        1,
        json!({"ref": "main", "tag": false, "build_name": "test", "build_status": "failed"}),
    );
    for (name, value) in more {
        job[*name] = value.clone();
    }
    job
}

fn emoji(on: &str, more: Value) -> Value {
    let attributes = json!({"name": "thumbsup", "awardable_type": on, "action": "award"});
    let mut emoji = event(
        "emoji",
        1,
        json!({"event_type": "award", "object_attributes": attributes}),
    );
    if let (Some(emoji), Some(more)) = (emoji.as_object_mut(), more.as_object()) {
        emoji.extend(more.clone());
    }
    emoji
}

fn without_switch() -> [(&'static str, Value); 5] {
    [
        ("job", job(&[])),
        (
            "release",
            event(
                "release",
                1,
                json!({"action": "create", "name": "v1", "tag": "v1"}),
            ),
        ),
        (
            "milestone",
            event(
                "milestone",
                1,
                json!({"action": "close", "object_attributes": {"title": "v1"}}),
            ),
        ),
        (
            "feature_flag",
            event(
                "feature_flag",
                1,
                json!({"object_attributes": {"name": "f", "active": true}}),
            ),
        ),
        ("emoji", emoji("Issue", json!({"issue": {"iid": 1}}))),
    ]
}

#[test]
fn events_without_a_switch_are_sent_where_they_are_named() -> Result<()> {
    let mut client = told("named_kind")?;
    for (name, event) in without_switch() {
        let sent = |client: &mut _, settings: Value| -> Result<(Vec<String>, String)> {
            set(
                client,
                json!({"channels": "#c", "event_channels": null, "routes": null}),
            )?;
            set(client, settings)?;
            let mut told = publish(client, &event)?;
            let (_, _, channels, outcome) = told.remove(0);
            Ok((channels, outcome))
        };
        let off = (Vec::new(), "event_off".to_owned());
        let on = |channel: &str| (vec![channel.to_owned()], "queued".to_owned());
        assert_eq!(sent(&mut client, json!({}))?, off, "{name}");
        let any = json!({"routes": [{"channels": "#r"}]});
        assert_eq!(sent(&mut client, any)?, off, "{name}");
        let own = json!({"event_channels": {name: "#own"}});
        assert_eq!(sent(&mut client, own)?, on("#own"), "{name}");
        let routed = json!({"routes": [{"channels": "#r", "events": [name]}]});
        assert_eq!(sent(&mut client, routed)?, on("#r"), "{name}");
    }
    Ok(())
}

/// GitLab lists reviewers as changed when only what they have said differs. Who is asked again has `re_requested`.
#[test]
fn a_change_of_lists_is_one_of_who_is_on_them() -> Result<()> {
    let mut client = told("named_lists")?;
    set(
        &mut client,
        json!({"changes": ["assignees", "labels", "milestone"]}),
    )?;
    let user =
        |id: i64, state: &str| json!({"id": id, "username": format!("u{id}"), "state": state});
    let again = |id: i64| json!({"id": id, "state": "unreviewed", "re_requested": true});
    let changed = |name: &str, previous: Value, current: Value| {
        let changes = json!({name: {"previous": previous, "current": current}});
        let more = json!({"object_attributes": {"action": "update"}, "changes": changes});
        event("merge_request", 1, more)
    };
    let reviewers = |previous: Value, current: Value| changed("reviewers", previous, current);
    let (ada, bob) = (user(3, "unreviewed"), user(4, "unreviewed"));
    let reviewed = user(3, "reviewed");
    let label = |title: &str| json!({"id": 1, "title": title});
    check(
        &mut client,
        "lists",
        &[
            (
                reviewers(json!([ada]), json!([user(3, "requested_changes")])),
                "action",
            ),
            (
                reviewers(json!([ada, bob]), json!([bob, reviewed])),
                "action",
            ),
            (reviewers(json!([again(3)]), json!([reviewed])), "action"),
            (reviewers(json!([reviewed]), json!([again(3)])), "queued"),
            (
                reviewers(json!([bob, reviewed]), json!([again(3), bob])),
                "queued",
            ),
            (reviewers(json!([ada]), json!([reviewed, bob])), "queued"),
            (reviewers(json!([ada]), json!([])), "queued"),
            // Another user has got the name since.
            (
                reviewers(json!([ada]), json!([{"id": 5, "username": "u3"}])),
                "queued",
            ),
            // Nobody knows what that means: better once too often.
            (reviewers(json!("u3"), json!("u4")), "queued"),
            (
                changed("assignees", json!([ada]), json!([reviewed])),
                "action",
            ),
            (changed("assignees", json!([ada]), json!([bob])), "queued"),
            (
                changed(
                    "labels",
                    json!([label("a"), label("b")]),
                    json!([label("b"), label("a")]),
                ),
                "action",
            ),
            (
                changed("labels", json!([label("a")]), json!([label("b")])),
                "queued",
            ),
            (changed("milestone_id", json!(1), json!(1)), "action"),
            (changed("milestone_id", json!(1), json!(null)), "queued"),
        ],
    )?;
    Ok(())
}

#[test]
fn only_news_is_sent() -> Result<()> {
    let mut client = told("named_news")?;
    let all: Value = without_switch()
        .iter()
        .map(|(name, _)| (*name, "#n"))
        .collect();
    set(
        &mut client,
        json!({"event_channels": all, "branches": "default"}),
    )?;
    let update = |kind: &str, changes: Value| {
        let attributes = json!({"action": "update"});
        event(
            kind,
            1,
            json!({"object_attributes": attributes, "changes": changes}),
        )
    };
    let assigned = json!({"assignees": {"previous": [], "current": [{"id": 1}]}});
    let labeled = json!({"labels": {"previous": [], "current": [{"title": "bug"}]}});
    let planned = json!({"milestone_id": {"previous": null, "current": 1}});
    let draft = |before: bool| json!({"draft": {"previous": before, "current": !before}});
    let release = |action: &str| event("release", 1, json!({"action": action, "tag": "v1"}));
    let cases = |on_request: [&'static str; 3]| {
        let [of_assignees, of_labels, of_milestone] = on_request;
        vec![
            (update("issue", assigned.clone()), of_assignees),
            (update("merge_request", assigned.clone()), of_assignees),
            (update("merge_request", labeled.clone()), of_labels),
            (update("issue", labeled.clone()), of_labels),
            (update("merge_request", planned.clone()), of_milestone),
            (update("merge_request", draft(true)), "queued"),
            (update("merge_request", draft(false)), "action"),
            (update("merge_request", json!({"title": {}})), "action"),
            (update("issue", json!({})), "action"),
            (job(&[]), "queued"),
            (job(&[("build_status", json!("success"))]), "job_status"),
            (job(&[("build_allow_failure", json!(true))]), "job_status"),
            (job(&[("ref", json!("topic"))]), "branch"),
            (job(&[("ref", json!("v1")), ("tag", json!(true))]), "queued"),
            (release("create"), "queued"),
            (release("update"), "action"),
            (release("delete"), "queued"),
            (
                emoji("Issue", json!({"issue": {"confidential": true}})),
                "confidential",
            ),
            (
                emoji("Note", json!({"note": {"internal": true}})),
                "confidential",
            ),
            (
                emoji("Note", json!({"note": {"internal": false}, "issue": {}})),
                "queued",
            ),
        ]
    };
    check(&mut client, "default", &cases(["action"; 3]))?;
    set(&mut client, json!({"changes": "labels"}))?;
    check(
        &mut client,
        "labels",
        &cases(["action", "queued", "action"]),
    )?;
    let shown = json_of(
        &mut client,
        "select lockstep.set_slack_notifications(1, '{\"changes\": [\"assignees\", \"labels\", \"milestone\"]}')",
    )?;
    assert_eq!(
        shown["changes"],
        json!(["assignees", "labels", "milestone"])
    );
    check(&mut client, "all", &cases(["queued"; 3]))?;
    refused(
        &mut client,
        "select lockstep.set_slack_notifications(1, '{\"changes\": \"title\"}')",
        "22023",
        "\"changes\" has \"title\"",
    )?;
    Ok(())
}

/// A group has milestones of its own.
#[test]
fn milestones_of_groups_are_the_groups() -> Result<()> {
    let mut client = told("named_milestone")?;
    client.batch_execute(
        "insert into integrations (id, group_id, type_new, category, active) values (50, 1, 'Integrations::GitlabSlackApplication', 'chat', true);
         insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
           values (50, 'A', 'Team A', 'g', 'U1', now(), now(), 50);
         select lockstep.set_slack_notifications(50, '{\"event_channels\": {\"milestone\": \"#g\"}}')",
    )?;
    let milestone = json!({"object_kind": "milestone", "group": {"id": 1}, "action": "create", "object_attributes": {"title": "v1"}});
    let told = publish(&mut client, &milestone)?;
    ensure!(told.len() == 1 && told[0].2 == ["#g"], "{told:?}");
    Ok(())
}

/// What the stored event says was deployed there before.
fn before(client: &mut Client, environment: &str) -> Result<Value> {
    client.batch_execute("delete from lockstep_internal.event")?;
    let deployment = event(
        "deployment",
        1,
        json!({"status": "success", "environment": environment, "deployment_id": 5, "ref": "main"}),
    );
    let told = publish(client, &deployment)?;
    ensure!(told[0].3 == "queued", "{told:?}");
    let event = json_of(client, "select payload::jsonb from lockstep_internal.event")?;
    Ok(event["previous_sha"].clone())
}

#[test]
fn deployments_are_compared_with_the_one_before() -> Result<()> {
    let mut client = told("named_deployment")?;
    set(&mut client, json!({"branches": "all"}))?;
    // Without GitLab's tables.
    assert_eq!(before(&mut client, "production")?, Value::Null);
    host::run(&mut client, host::DEPLOYMENTS)?;
    client.batch_execute(
        "insert into environments (id, project_id, name, slug) values (1, 1, 'production', 'p'), (2, 1, 'staging', 's'), (3, 2, 'production', 'p');
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status) values
           (1, 1, 1, 1, 'main', false, 'aaaa', 2), (2, 2, 1, 1, 'main', false, 'bbbb', 2), (3, 3, 1, 1, 'main', false, 'cccc', 3),
           (4, 4, 2, 3, 'main', false, 'dddd', 2), (5, 5, 1, 1, 'main', false, 'eeee', 2), (6, 6, 1, 1, 'main', false, 'ffff', 2)",
    )?;
    assert_eq!(before(&mut client, "production")?, json!("bbbb"));
    assert_eq!(before(&mut client, "staging")?, Value::Null);
    assert_eq!(before(&mut client, "nowhere")?, Value::Null);
    Ok(())
}
