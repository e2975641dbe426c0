//! Who publishes: with which rights, under which search path, on which host.

use crate::notification_batch::{DELIVERIES, batch, row_of};
use crate::notification_level::GROUPS;
use crate::notification_publish::{event, kinds, outcomes, publish, told};
use crate::service_account::number;
use crate::slack::workspaces;
use crate::slack_rights::EVIL;
use crate::surface_refusal::error_of;
use anyhow::{Result, ensure};
use lockstep_tests::host::Layout;
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
