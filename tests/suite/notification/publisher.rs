//! Publishers: with which rights, under which search path, on which GitLab version.

use crate::notification::batch::{DELIVERIES, batch, row_of};
use crate::notification::inheritance::GROUPS;
use crate::notification::publish::{event, kinds, outcomes, publish, publish_as, told};
use crate::service_account::number;
use crate::slack::rights::EVIL;
use crate::slack::workspaces;
use crate::surface::refusal::error_of;
use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;
use serde_json::{Value, json};

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
        let error = error_of(
            &mut client,
            &format!("select from lockstep_internal.{table}"),
        )?;
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
        "create table evil.slack_notification (like lockstep_internal.slack_notification); create table evil.event (like lockstep_internal.event);
         create temporary table slack_channel (like lockstep_internal.slack_channel); create temporary table projects ();
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
        "select lockstep.slack_notifications(1); select lockstep_api.slack_workspace_notifications('A', null, 1);
         select lockstep_api.set_slack_integration_settings('A', null, 1, 'U1', false, '{\"labels\": [\"x\"]}', '{\"push\": false}');
         select lockstep.test_slack_integration(1); select lockstep_api.test_slack_workspace_integration('A', null, 1, 'U1', true);
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

/// Fields that no message shows are never stored: variables may be secrets.
#[test]
fn secrets_are_not_kept() -> Result<()> {
    let mut client = told("notify_secret")?;
    let attributes = json!({"id": 1, "status": "failed", "ref": "main", "variables": [{"key": "PASSWORD", "value": "hunter2"}]});
    let long = "ä".repeat(5_000);
    let secretive = event(
        "pipeline",
        1,
        json!({
            "object_attributes": attributes, "user_email": "root@example.com", "commit": {"message": long, "author": {"email": "a@example.com"}},
            "builds": [{"name": "email", "stage": "variables", "runner": {"id": 1}}, {"name": "b"}],
        }),
    );
    publish_as(&mut client, &secretive, Some("one"))?;
    // In a batch, as written, next to one without such fields.
    let mut second = secretive.clone();
    second["object_attributes"]["id"] = json!(2);
    let spaced = second
        .to_string()
        .replace("\"variables\":", "\"variables\" : ");
    let plain = r#"{"object_kind" : "push","ref":"refs/heads/main","project":{"id":1,"default_branch":"main"},"user":{"username":"email"}}"#;
    let only = plain.replace("}}", "},\"variables\" : [1]}");
    let events = [
        ("two", Some(spaced)),
        ("three", Some(plain.to_owned())),
        ("four", Some(only)),
    ];
    batch(&mut client, &events)?;
    let kept = |client: &mut Client, key: &str| -> Result<String> {
        let query = "select payload::text from lockstep_internal.event where key = $1";
        Ok(client.query_one(query, &[&key])?.get(0))
    };
    assert_eq!(kept(&mut client, "three")?, plain);
    let four: Value = serde_json::from_str(&kept(&mut client, "four")?)?;
    assert_eq!(four, serde_json::from_str::<Value>(plain)?);
    let mut expected = secretive;
    expected["commit"] = json!({"message": "ä".repeat(2_000), "author": {}});
    expected["builds"] = json!([{"name": "email", "stage": "variables"}, {"name": "b"}]);
    expected
        .as_object_mut()
        .context("no object")?
        .remove("user_email");
    for (key, id) in [("one", 1), ("two", 2)] {
        expected["object_attributes"] = json!({"id": id, "status": "failed", "ref": "main"});
        let payload: Value = serde_json::from_str(&kept(&mut client, key)?)?;
        assert_eq!(payload, expected, "{key}");
    }
    Ok(())
}

/// An older GitLab without the optional columns and tables.
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
    // If no project has an organization, an organization's integrations are the instance's.
    client.batch_execute(
        "alter table integrations add column organization_id bigint;
         update integrations set organization_id = 7, instance = false where id = 80",
    )?;
    let push = event("push", 80, json!({"ref": "refs/heads/main"}));
    assert_eq!(outcomes(&mut client, &push)?, [(80, "queued".to_owned())]);
    client.batch_execute("alter table namespaces add column organization_id bigint")?;
    assert_eq!(outcomes(&mut client, &push)?, []);
    client.batch_execute(
        "alter table namespaces drop column organization_id; alter table integrations drop column organization_id;
         update integrations set instance = true where id = 80",
    )?;
    assert_eq!(outcomes(&mut client, &push)?, [(80, "queued".to_owned())]);
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
