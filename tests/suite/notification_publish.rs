//! Events are published: which integrations are told of what, that each event counts once, and what a bad one does.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use lockstep_tests::root;
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, IsolationLevel};
use serde_json::{Value, json};

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::service_account::number;
use crate::slack::workspaces;
use crate::slack_rights::EVIL;
use crate::surface_refusal::{error_of, refused};

/// The events that integrations can be told of, each with the host's column and a payload of project 1.
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

/// A database with integrations of the Slack app that are told of everything in channel #c.
pub(crate) fn told(name: &str) -> Result<Client> {
    let mut client = workspaces(name, Layout::Narrow)?;
    switch(&mut client, true)?;
    client.batch_execute(
        "select lockstep.set_slack_notifications(id, '{\"channels\": \"#c\"}') from integrations",
    )?;
    Ok(client)
}

fn switch(client: &mut Client, on: bool) -> Result<()> {
    let columns: Vec<String> = kinds()
        .iter()
        .map(|(_, column, _)| format!("{column} = {on}"))
        .collect();
    client.batch_execute(&format!("update integrations set {}", columns.join(", ")))?;
    Ok(())
}

/// What an integration is told: integration, its row of a workspace, channels, outcome.
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

/// The outcomes of an event, of one integration each.
pub(crate) fn outcomes(client: &mut Client, event: &Value) -> Result<Vec<(i64, String)>> {
    let told = publish(client, event)?;
    Ok(told
        .into_iter()
        .map(|(id, _, _, outcome)| (id, outcome))
        .collect())
}

/// The outcome of an event that one integration might be told of.
pub(crate) fn outcome(client: &mut Client, event: &Value) -> Result<String> {
    let mut told = outcomes(client, event)?;
    ensure!(told.len() == 1, "{told:?}");
    Ok(told.remove(0).1)
}

/// What becomes of each event of a batch: outcome, detail, deliveries.
type Published = (String, Option<String>, i32);

fn batch(client: &mut Client, events: &[(&str, Option<String>)]) -> Result<Vec<Published>> {
    let keys: Vec<&str> = events.iter().map(|(key, _)| *key).collect();
    let texts: Vec<&Option<String>> = events.iter().map(|(_, text)| text).collect();
    let rows = client.query(
        "select place, outcome, detail, deliveries from lockstep.publish_events($1::text[]::json[], $2)",
        &[&texts, &keys],
    )?;
    for (place, row) in (1..).zip(&rows) {
        ensure!(row.get::<_, i32>(0) == place, "place {place}");
    }
    let published = rows.iter().map(|row| (row.get(1), row.get(2), row.get(3)));
    Ok(published.collect())
}

const DELIVERIES: &str = "select count(*) from lockstep.slack_delivery";

#[test]
fn each_event_is_switched_by_its_column() -> Result<()> {
    let mut client = told("notify_column")?;
    // A mention of the group is told to the integration of the group.
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
        client.batch_execute(&format!("update integrations set {column} = true"))?;
        let told = publish(&mut client, &payload)?;
        ensure!(
            told.len() == 1 && told[0].3 == "queued" && told[0].2 == [channel],
            "{name} on: {told:?}"
        );
        // All but its own.
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
            "select count(*) from lockstep.event where payload is null"
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

#[test]
fn samples_of_the_host_are_told() -> Result<()> {
    let folder = root().join("../shared/data/gitlab-webhooks");
    let Ok(files) = fs::read_dir(&folder) else {
        eprintln!("skipped: no {}", folder.display());
        return Ok(());
    };
    let mut client = told("notify_sample")?;
    client.batch_execute(
        "insert into projects (id, path, namespace_id) values (15, 'p15', 1), (30, 'p30', 1);
         insert into integrations (id, project_id, type_new, category, active) select n, n, 'Integrations::GitlabSlackApplication', 'chat', true
           from unnest('{15,30}'::integer[]) n;
         insert into slack_integrations (team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         select 'A', 'Team A', 'p' || n, 'U1', now(), now(), n from unnest('{15,30}'::integer[]) n;
         select lockstep.set_slack_notifications(id, '{\"channels\": \"#c\", \"only_broken_pipelines\": false}') from integrations",
    )?;
    switch(&mut client, true)?;
    let mut texts = BTreeMap::new();
    for file in files {
        let path = file?.path();
        let name = path
            .file_stem()
            .map(|it| it.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name != "headers" {
            texts.insert(name, fs::read_to_string(&path)?);
        }
    }
    ensure!(texts.len() >= 9, "{} samples", texts.len());
    let events: Vec<(&str, Option<String>)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), Some(text.clone())))
        .collect();
    for ((name, _), published) in texts.iter().zip(batch(&mut client, &events)?) {
        ensure!(
            published == ("published".to_owned(), None, 1),
            "{name}: {published:?}"
        );
    }
    // As they came, to the last space.
    for row in client.query("select key, payload::text from lockstep.event", &[])? {
        assert_eq!(
            texts.get(row.get::<_, &str>(0)).map(|it| it.trim_end()),
            Some(row.get::<_, &str>(1).trim_end())
        );
    }
    // By the other way in, too.
    for (name, text) in &texts {
        ensure!(
            outcome(&mut client, &serde_json::from_str(text)?)? == "queued",
            "{name}"
        );
    }
    Ok(())
}

/// Groups 20, 21 in it, 22 in that, 23 apart and of an organization of its own; projects 30 to 33 in these.
pub(crate) const GROUPS: &str = "
insert into namespaces (id, name, path, type, traversal_ids, organization_id) values
  (20, 'root', 'root', 'Group', '{20}', 1), (21, 'sub', 'sub', 'Group', '{20,21}', 1), (22, 'deep', 'deep', 'Group', '{20,21,22}', 1),
  (23, 'apart', 'apart', 'Group', '{}', 2), (24, 'sub', 'sub', 'Group', '{23,24}', 2);
insert into projects (id, path, namespace_id) select n, 'p' || n, n - 10 from generate_series(30, 33) n;
create function app(id bigint, owner text, owner_id bigint, active boolean default true) returns void language plpgsql as $$
begin
  execute format('insert into integrations (id, %I, type_new, category, active, instance) values ($1, $2, ''Integrations::GitlabSlackApplication'', ''chat'', $3, $4)', owner)
    using id, owner_id, active, owner = 'organization_id';
  insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
  values (id, 'T', 'T', 'app ' || id, 'U1', now(), now(), id);
  perform lockstep.set_slack_notifications(id, '{\"channels\": \"#c\"}');
end $$;";

#[test]
fn the_nearest_level_decides() -> Result<()> {
    let mut client = told("notify_level")?;
    client.batch_execute(GROUPS)?;
    // Another kind of integration is not of the Slack app.
    client.batch_execute("insert into integrations (id, project_id, type_new, active) select n, n, 'Integrations::Slack', true from generate_series(30, 33) n")?;
    let push = |project: i64| event("push", project, json!({"ref": "refs/heads/main"}));
    let ids = |client: &mut Client, project: i64| -> Result<Vec<i64>> {
        let told = outcomes(client, &push(project))?;
        Ok(told.into_iter().map(|(id, _)| id).collect())
    };
    let of_all = |client: &mut Client| {
        (30..34)
            .map(|project| ids(client, project))
            .collect::<Result<Vec<_>>>()
    };
    assert_eq!(of_all(&mut client)?, vec![Vec::<i64>::new(); 4]);
    client
        .batch_execute("select app(100, 'organization_id', 1), app(101, 'organization_id', 2)")?;
    assert_eq!(of_all(&mut client)?, [[100], [100], [100], [101]]);
    client.batch_execute("select app(102, 'group_id', 20)")?;
    assert_eq!(of_all(&mut client)?, [[102], [102], [102], [101]]);
    // The index of the host lets a group have two.
    client.batch_execute(
        "select app(103, 'group_id', 21), app(104, 'group_id', 21), app(105, 'group_id', 23)",
    )?;
    assert_eq!(
        of_all(&mut client)?,
        [vec![102], vec![103, 104], vec![103, 104], vec![105]]
    );
    // One that is off decides as well: it was switched off there.
    client.batch_execute("select app(106, 'project_id', 32, false)")?;
    assert_eq!(
        outcomes(&mut client, &push(32))?,
        [(106, "inactive".to_owned())]
    );
    client.batch_execute("delete from slack_integrations where integration_id = 103")?;
    let told = publish(&mut client, &push(31))?;
    assert_eq!(told[0], (103, None, vec![], "not_installed".to_owned()));
    assert_eq!(
        told[1],
        (104, Some(104), vec!["#c".to_owned()], "queued".to_owned())
    );
    // A project of no organization that anybody knows of is not told what others are.
    client.batch_execute(
        "alter table namespaces drop constraint check_2eae3bdf93; update namespaces set organization_id = null where id = 20;
         delete from integrations where group_id = 20",
    )?;
    assert_eq!(ids(&mut client, 30)?, Vec::<i64>::new());
    Ok(())
}

#[test]
fn mentions_go_to_the_group() -> Result<()> {
    let mut client = told("notify_mention")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "select app(100, 'organization_id', 2), app(101, 'group_id', 20), app(102, 'group_id', 21)",
    )?;
    client.batch_execute("update integrations set group_mention_events = true")?;
    for (mentioned, told) in [
        (json!({"mentioned": {"id": 22}}), 102),
        (json!({"mentioned": {"name": "root/sub/deep"}}), 102),
        (
            json!({"mentioned": {"full_path": "root"}, "group": {"id": 21}}),
            101,
        ),
        (json!({"group": {"full_path": "root/sub"}}), 102),
        (json!({"group_id": 20}), 101),
        // Of the same last name, elsewhere; its instance has one.
        (json!({"mentioned": {"name": "apart/sub"}}), 100),
        (json!({"group": {"id": 23}}), 100),
    ] {
        let mut mention = json!({"object_kind": "group_mention"});
        if let (Some(mention), Some(mentioned)) = (mention.as_object_mut(), mentioned.as_object()) {
            mention.extend(mentioned.clone());
        }
        assert_eq!(
            outcomes(&mut client, &mention)?,
            [(told, "queued".to_owned())],
            "{mention}"
        );
    }
    for path in ["sub", "root/deep", "apart/sub/sub", "", "/"] {
        let mention =
            json!({"object_kind": "group_mention", "mentioned": {"name": path}}).to_string();
        refused(
            &mut client,
            &format!("select lockstep.publish_event('{mention}')"),
            "P0002",
            "does not exist",
        )?;
    }
    Ok(())
}

#[test]
fn the_flag_is_for_project_group_or_author() -> Result<()> {
    let mut client = told("notify_flag")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute("select app(100, 'group_id', 20); select * from lockstep.attach()")?;
    let push = event("push", 32, json!({"ref": "refs/heads/main"}));
    let by_nobody = json!({"object_kind": "push", "ref": "refs/heads/main", "project": {"id": 32, "default_branch": "main"}});
    let flag = "'integration_slack_app_notifications'";
    // Nobody has set it: the host has made it general.
    assert_eq!(outcome(&mut client, &push)?, "queued");
    client.batch_execute(&format!("select lockstep.set_feature({flag}, false)"))?;
    assert_eq!(outcome(&mut client, &push)?, "feature_off");
    for (actor, told, told_by_nobody) in [
        ("Project:32", "queued", "queued"),
        ("Project:31", "feature_off", "feature_off"),
        ("Group:20", "queued", "queued"),
        ("Group:21", "queued", "queued"),
        ("Group:22", "queued", "queued"),
        ("Group:23", "feature_off", "feature_off"),
        ("User:1", "queued", "feature_off"),
        ("User:2", "feature_off", "feature_off"),
    ] {
        client.batch_execute(&format!(
            "select lockstep.enable_feature_for({flag}, '{actor}')"
        ))?;
        assert_eq!(outcome(&mut client, &push)?, told, "{actor}");
        assert_eq!(
            outcome(&mut client, &by_nobody)?,
            told_by_nobody,
            "{actor}, by nobody"
        );
        client.batch_execute(&format!("select lockstep.set_feature({flag}, false)"))?;
    }
    client.batch_execute(&format!("select lockstep.set_feature({flag}, true)"))?;
    assert_eq!(outcome(&mut client, &push)?, "queued");
    // Who is out is out, whatever else he belongs to.
    client.batch_execute(&format!(
        "select lockstep.opt_out_of_feature({flag}, 'Group:21')"
    ))?;
    assert_eq!(outcome(&mut client, &push)?, "feature_off");
    client.batch_execute("delete from feature_gates; delete from features")?;
    assert_eq!(outcome(&mut client, &push)?, "queued");
    Ok(())
}

#[test]
fn an_event_counts_once() -> Result<()> {
    let mut client = told("notify_once")?;
    let push = event("push", 1, json!({"ref": "refs/heads/main"}));
    assert_eq!(publish_as(&mut client, &push, Some("k"))?.len(), 1);
    assert_eq!(publish_as(&mut client, &push, Some("k"))?.len(), 0);
    // Without a key it is another each time.
    assert_eq!(publish(&mut client, &push)?.len(), 1);
    assert_eq!(publish(&mut client, &push)?.len(), 1);
    assert_eq!(number(&mut client, DELIVERIES)?, 3);
    let text = Some(push.to_string());
    let published = batch(
        &mut client,
        &[
            ("k", text.clone()),
            ("l", text.clone()),
            ("l", text),
            ("m", None),
        ],
    )?;
    let outcomes: Vec<&str> = published
        .iter()
        .map(|(outcome, ..)| outcome.as_str())
        .collect();
    assert_eq!(
        outcomes,
        ["duplicate", "published", "duplicate", "malformed"]
    );
    assert_eq!(number(&mut client, DELIVERIES)?, 4);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep.event")?,
        4
    );
    // In another schema it is another event.
    client.batch_execute("insert into lockstep.event (schema, key) values ('elsewhere', 'n')")?;
    assert_eq!(publish_as(&mut client, &push, Some("n"))?.len(), 1);
    Ok(())
}

/// Publishes an event while another session has published it and not yet ended.
fn beside_another(
    name: &str,
    level: IsolationLevel,
    commit: bool,
) -> Result<Result<Vec<Told>, String>> {
    let mut client = told(name)?;
    let push = event("push", 1, json!({"ref": "refs/heads/main"}));
    let mut first = cluster()?.connect(name)?;
    let mut second = cluster()?.connect(name)?;
    let pid = pid_of(&mut second)?;
    let mut publishing = first.transaction()?;
    publishing.query(
        "select lockstep.publish_event($1::text::jsonb, 'k')",
        &[&push.to_string()],
    )?;
    let told = thread::scope(|scope| -> Result<_> {
        let session = scope.spawn(|| -> Result<Vec<Told>> {
            second.batch_execute(&format!(
                "set default_transaction_isolation = '{}'",
                match level {
                    IsolationLevel::ReadCommitted => "read committed",
                    _ => "repeatable read",
                }
            ))?;
            publish_as(&mut second, &push, Some("k"))
        });
        ensure!(settle(&session, &mut client, pid)?, "it does not wait");
        match commit {
            true => publishing.commit()?,
            false => publishing.rollback()?,
        }
        session
            .join()
            .map_err(|_| anyhow::anyhow!("a session panicked"))
    })?;
    let deliveries = number(&mut client, DELIVERIES)?;
    ensure!(deliveries == 1, "{deliveries} deliveries");
    Ok(told.map_err(|error| {
        format!(
            "{:?}",
            error
                .downcast_ref::<postgres::Error>()
                .and_then(|it| it.code().cloned())
        )
    }))
}

#[test]
fn the_second_of_two_sessions_waits() -> Result<()> {
    assert_eq!(
        beside_another("notify_commit", IsolationLevel::ReadCommitted, true)?,
        Ok(vec![])
    );
    let told = beside_another("notify_rollback", IsolationLevel::ReadCommitted, false)?;
    ensure!(told.as_ref().is_ok_and(|told| told.len() == 1), "{told:?}");
    let told = beside_another("notify_frozen", IsolationLevel::RepeatableRead, true)?;
    ensure!(
        told.as_ref().is_err_and(|code| code.contains("40001")),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn a_batch_is_written_in_its_order() -> Result<()> {
    let mut client = told("notify_batch")?;
    client.batch_execute(
        "select lockstep.set_slack_notifications(1, '{\"channels\": \"#z, #a, #m\"}')",
    )?;
    let push =
        |project: i64| Some(event("push", project, json!({"ref": "refs/heads/main"})).to_string());
    let bad = |text: &str| Some(text.to_owned());
    let published = batch(
        &mut client,
        &[
            ("9", push(1)),
            ("8", bad("{\"object_kind\": \"push\", \"project_id\": 1}")),
            ("7", push(2)),
            ("6", push(999)),
            ("5", bad("{\"object_kind\": \"build\", \"project_id\": 1}")),
            ("4", push(1)),
            ("3", bad("[1]")),
            ("2", push(8)),
            ("", push(1)),
        ],
    )?;
    let row = |outcome: &str, detail: Option<&str>, deliveries| {
        (outcome.to_owned(), detail.map(str::to_owned), deliveries)
    };
    assert_eq!(
        published,
        [
            row("published", None, 3),
            row("malformed", Some("ref"), 0),
            row("published", None, 1),
            row("unknown_project", Some("project 999"), 0),
            row("unknown_kind", Some("build"), 0),
            row("published", None, 3),
            row("malformed", Some("object_kind"), 0),
            // Integration 8 is in no workspace.
            row("published", None, 0),
            row("malformed", Some("key"), 0),
        ]
    );
    let row = client.query_one(
        "select string_agg(e.key || c.channel, ' ' order by d.id) from lockstep.slack_delivery d
           join lockstep.slack_channel c on c.id = d.channel join lockstep.event e on e.id = d.event",
        &[],
    )?;
    assert_eq!(row.get::<_, String>(0), "9#z 9#a 9#m 7#c 4#z 4#a 4#m");
    // What was refused leaves its key free.
    assert_eq!(
        batch(&mut client, &[("8", push(1)), ("6", push(1))])?,
        [row_of(3), row_of(3)]
    );
    refused(
        &mut client,
        "select lockstep.publish_events('{null}', '{}')",
        "22023",
        "1 events, but 0 keys",
    )?;
    assert_eq!(batch(&mut client, &[])?, []);
    Ok(())
}

fn row_of(deliveries: i32) -> Published {
    ("published".to_owned(), None, deliveries)
}

/// An event with so many lists within each other in it.
fn nested(levels: usize) -> String {
    let (open, close) = ("[".repeat(levels), "]".repeat(levels));
    format!(r#"{{"object_kind": "alert", "project_id": 1, "x": {open}{close}}}"#)
}

#[test]
fn malformed_events_are_told_by_their_field() -> Result<()> {
    let mut client = told("notify_malformed")?;
    let attributes = |more: Value| json!({"object_attributes": more});
    let with = |kind: &str, more: Value| event(kind, 1, more);
    for (payload, field) in [
        (json!([]), "object_kind"),
        (json!("push"), "object_kind"),
        (json!({}), "object_kind"),
        (json!({"object_kind": 1}), "object_kind"),
        (
            json!({"object_kind": "push", "ref": "refs/heads/main"}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": 1}),
            "project",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": {"id": "1"}}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": {"id": 1.5}}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": {"id": 1e30}}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project_id": []}),
            "project_id",
        ),
        (
            json!({"object_kind": "note", "object_attributes": {"project_id": {}}}),
            "object_attributes.project_id",
        ),
        (with("push", json!({})), "ref"),
        (with("push", json!({"ref": null})), "ref"),
        (with("tag_push", json!({"ref": 7})), "ref"),
        (
            with("push", json!({"ref": "x", "ref_protected": "yes"})),
            "ref_protected",
        ),
        (with("push", json!({"ref": "x", "user": "root"})), "user"),
        (
            with("push", json!({"ref": "x", "user": {"username": 1}})),
            "user.username",
        ),
        (with("push", json!({"ref": "x", "user_id": "1"})), "user_id"),
        (
            with(
                "push",
                json!({"ref": "x", "project": {"id": 1, "default_branch": 1}}),
            ),
            "project.default_branch",
        ),
        (with("issue", json!({})), "object_attributes"),
        (
            with("merge_request", json!({"object_attributes": 1})),
            "object_attributes",
        ),
        (
            with("issue", attributes(json!({"action": 1}))),
            "object_attributes.action",
        ),
        (
            with("issue", attributes(json!({"confidential": "no"}))),
            "object_attributes.confidential",
        ),
        (
            with("issue", json!({"object_attributes": {}, "labels": "bug"})),
            "labels",
        ),
        (
            with(
                "issue",
                json!({"object_attributes": {}, "labels": [{"title": "a"}, {}]}),
            ),
            "labels[1].title",
        ),
        (
            with("issue", json!({"object_attributes": {}, "labels": [null]})),
            "labels[0]",
        ),
        (
            with("note", json!({"object_attributes": {}, "issue": []})),
            "issue",
        ),
        (
            with(
                "note",
                json!({"object_attributes": {}, "merge_request": {"labels": 1}}),
            ),
            "merge_request.labels",
        ),
        (
            with(
                "pipeline",
                attributes(json!({"status": "failed", "ref": "x"})),
            ),
            "object_attributes.id",
        ),
        (
            with("pipeline", attributes(json!({"id": 1, "ref": "x"}))),
            "object_attributes.status",
        ),
        (
            with("pipeline", attributes(json!({"id": 1, "status": "failed"}))),
            "object_attributes.ref",
        ),
        (json!({"object_kind": "group_mention"}), "mentioned.id"),
        (
            json!({"object_kind": "group_mention", "mentioned": {"id": "1"}}),
            "mentioned.id",
        ),
        (
            json!({"object_kind": "group_mention", "group": {"full_path": 1}}),
            "group.full_path",
        ),
    ] {
        let text = payload.to_string();
        let error = refused(
            &mut client,
            &format!("select lockstep.publish_event('{text}')"),
            "22023",
            "malformed",
        )?;
        let named = format!("\"{field}\"");
        ensure!(
            error.detail().is_some_and(|it| it.contains(&named)),
            "{text}: {error:?}"
        );
        let published = batch(&mut client, &[("k", Some(text.clone()))])?;
        assert_eq!(
            published,
            [("malformed".to_owned(), Some(field.to_owned()), 0)],
            "{text}"
        );
    }
    // What json lets through and a text does not; a key twice; more levels than anybody nests.
    for (text, detail) in [
        (
            r#"{"object_kind": "push", "project_id": 1, "ref": "a\u0000b"}"#.to_owned(),
            "ref",
        ),
        (
            r#"{"object_kind": "push", "project_id": 1, "ref": "\ud800"}"#.to_owned(),
            "hex escape",
        ),
        (
            r#"{"object_kind": "push", "object_kind": "push"}"#.to_owned(),
            "duplicate field",
        ),
        // In what nobody looks at here.
        (
            r#"{"object_kind": "alert", "project_id": 1, "x": "\uD83D"}"#.to_owned(),
            "hex escape",
        ),
        (nested(100), "more than 100 levels"),
        (nested(500), "more than 100 levels"),
    ] {
        let published = batch(&mut client, &[("k", Some(text))])?;
        ensure!(published[0].0 == "malformed", "{published:?}");
        ensure!(
            published[0]
                .1
                .as_ref()
                .is_some_and(|it| it.contains(detail)),
            "{published:?}"
        );
    }
    for (call, message) in [
        ("'{\"object_kind\": \"build\"}'", "\"build\" is not a kind"),
        (
            "'{\"object_kind\": \"lockstep_test\", \"project_id\": 1}'",
            "not a kind",
        ),
        (
            "'{\"object_kind\": \"alert\", \"project_id\": 1}', ''",
            "malformed",
        ),
        (
            "'{\"object_kind\": \"alert\", \"project_id\": 1}', repeat('x', 256)",
            "malformed",
        ),
    ] {
        refused(
            &mut client,
            &format!("select lockstep.publish_event({call})"),
            "22023",
            message,
        )?;
    }
    refused(
        &mut client,
        "select lockstep.publish_event('{\"object_kind\": \"alert\", \"project_id\": 99}')",
        "P0002",
        "project 99 does not exist",
    )?;
    for call in [
        "publish_event(null)",
        "publish_event('{}', schema => null)",
        "publish_events(null, '{}')",
        "publish_events('{}', null)",
    ] {
        refused(
            &mut client,
            &format!("select lockstep.{call}"),
            "22004",
            "must not be null",
        )?;
    }
    assert_eq!(
        number(&mut client, "select count(*) from lockstep.event")?,
        0
    );
    Ok(())
}

#[test]
fn the_project_is_found_by_whatever_names_it() -> Result<()> {
    let mut client = told("notify_project")?;
    for (payload, told) in [
        (
            json!({"project": {"id": 2}, "project_id": 3, "object_attributes": {"project_id": 4}}),
            2,
        ),
        (
            json!({"project": {"id": null}, "project_id": 3, "object_attributes": {"project_id": 4}}),
            3,
        ),
        (json!({"object_attributes": {"project_id": 4}}), 4),
    ] {
        let mut payload = payload;
        payload["object_kind"] = json!("alert");
        assert_eq!(
            outcomes(&mut client, &payload)?,
            [(told, "queued".to_owned())]
        );
    }
    Ok(())
}

#[test]
fn whoever_delivers_is_woken_once() -> Result<()> {
    let mut client = told("notify_wake")?;
    let mut listener = cluster()?.connect("notify_wake")?;
    listener.batch_execute("listen lockstep_delivery")?;
    let push = |project: i64| event("push", project, json!({"ref": "refs/heads/main"}));
    // Nobody is told of this one.
    publish(&mut client, &push(8))?;
    let texts: Vec<(&str, Option<String>)> = vec![
        ("a", Some(push(1).to_string())),
        ("b", Some(push(2).to_string())),
    ];
    batch(&mut client, &texts)?;
    listener.batch_execute("select 1")?;
    let mut heard = Vec::new();
    let mut notifications = listener.notifications();
    let mut waiting = notifications.iter();
    while let Some(notification) = waiting.next()? {
        heard.push(notification.channel().to_owned());
    }
    assert_eq!(heard, ["lockstep_delivery"]);
    Ok(())
}

#[test]
fn the_sidecar_publishes_without_rights_on_tables() -> Result<()> {
    let name = "notify_role";
    let mut client = told(name)?;
    client.batch_execute(&format!(
        "create role {name} in role lockstep_sidecar; set role {name}"
    ))?;
    let text = Some(event("push", 1, json!({"ref": "refs/heads/main"})).to_string());
    assert_eq!(batch(&mut client, &[("k", text)])?, [row_of(1)]);
    for table in [
        "event",
        "slack_notification",
        "slack_delivery",
        "slack_channel",
        "pipeline_status",
    ] {
        let error = error_of(&mut client, &format!("select from lockstep.{table}"))?;
        assert_eq!(error.code().code(), "42501", "{table}");
    }
    Ok(())
}

#[test]
fn hostile_paths_are_not_taken() -> Result<()> {
    let mut client = told("notify_evil")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "create table protected_branches (project_id bigint, name varchar); create table chat_names (user_id bigint, team_id varchar, chat_id varchar);
         select app(100, 'group_id', 20), app(101, 'organization_id', 2);
         select lockstep.set_slack_notifications(1, '{\"branches\": \"protected\", \"own_actions\": false, \"only_changed_pipelines\": true}')",
    )?;
    client.batch_execute(EVIL)?;
    client.batch_execute(
        "create table evil.slack_notification (like lockstep.slack_notification); create table evil.event (like lockstep.event);
         create temporary table slack_channel (like lockstep.slack_channel); create temporary table projects ();
         set search_path = pg_temp, evil, pg_catalog, public",
    )?;
    let mut kinds: Vec<Value> = kinds().into_iter().map(|(_, _, payload)| payload).collect();
    for project in [1, 32, 33] {
        kinds.push(event("push", project, json!({"ref": "refs/heads/main"})));
        kinds.push(event(
            "pipeline",
            project,
            json!({"object_attributes": {"id": 7, "ref": "main", "status": "failed"}}),
        ));
        kinds.push(event(
            "pipeline",
            project,
            json!({"object_attributes": {"id": 8, "ref": "main", "status": "success"}}),
        ));
    }
    kinds.push(json!({"object_kind": "group_mention", "mentioned": {"name": "root/sub"}}));
    let texts: Vec<(String, Option<String>)> = kinds
        .iter()
        .enumerate()
        .map(|(n, it)| (n.to_string(), Some(it.to_string())))
        .collect();
    let texts: Vec<(&str, Option<String>)> = texts
        .iter()
        .map(|(key, text)| (key.as_str(), text.clone()))
        .collect();
    for published in batch(&mut client, &texts)? {
        ensure!(published.0 == "published", "{published:?}");
    }
    for payload in &kinds {
        publish(&mut client, payload)?;
    }
    client.batch_execute(
        "select lockstep.slack_notifications(1); select lockstep.slack_workspace_notifications('A', null, 1);
         select lockstep.set_slack_integration_settings('A', null, 1, 'U1', false, '{\"labels\": [\"x\"]}', '{\"push\": false}');
         select lockstep.test_slack_integration(1); select lockstep.test_slack_workspace_integration('A', null, 1, 'U1', true);
         select lockstep.list_integration_properties()",
    )?;
    let calls = client.query_one("select is_called from evil.calls", &[])?;
    assert!(
        !calls.get::<_, bool>(0),
        "something in schema evil was called"
    );
    client.batch_execute(
        "set search_path = public; drop table pg_temp.slack_channel, pg_temp.projects",
    )?;
    ensure!(number(&mut client, DELIVERIES)? > 20, "too few deliveries");
    Ok(())
}

/// A host of an older layout, without the columns and tables that are optional.
#[test]
fn an_older_host_will_do() -> Result<()> {
    let mut client = workspaces("notify_older", Layout::Older)?;
    client.batch_execute(
        "alter table integrations drop constraint check_2aae034509;
         alter table integrations drop column organization_id; alter table integrations drop column inherit_from_id;
         alter table namespaces drop column organization_id; alter table namespaces drop column type;
         insert into namespaces (id, name, path) values (80, 'x', 'x'); insert into projects (id, path, namespace_id) values (80, 'x', 80);
         insert into integrations (id, instance, type_new, category, active) values (80, true, 'Integrations::GitlabSlackApplication', 'chat', true);
         insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values (80, 'T', 'T', 'i', 'U1', now(), now(), 80);
         select lockstep.set_slack_notifications(id, '{\"channels\": \"#c\"}') from integrations",
    )?;
    for (project, told) in [(1, 1), (80, 80)] {
        let push = event("push", project, json!({"ref": "refs/heads/main"}));
        assert_eq!(outcomes(&mut client, &push)?, [(told, "queued".to_owned())]);
    }
    client.batch_execute("alter table integrations drop column instance")?;
    assert_eq!(
        outcomes(
            &mut client,
            &event("push", 80, json!({"ref": "refs/heads/main"}))
        )?,
        []
    );
    let mention = json!({"object_kind": "group_mention", "mentioned": {"name": "x"}});
    assert_eq!(outcomes(&mut client, &mention)?, []);
    Ok(())
}
