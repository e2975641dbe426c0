//! What GitLab itself says about a project: silent, archived, being deleted, and through which workspace it is notified.

use anyhow::Result;
use serde_json::json;

use crate::database::cluster;
use crate::notification::filter::push;
use crate::notification::inheritance::GROUPS;
use crate::notification::publish::{event, outcome, outcomes, publish, told};
use crate::service_account::number;

#[test]
fn silent_archived_and_pending_projects_are_not_told() -> Result<()> {
    let mut client = told("notify_quiet")?;
    client.batch_execute(
        "alter table projects add column archived boolean not null default false, add column pending_delete boolean",
    )?;
    let push = push("refs/heads/main");
    for (change, expected) in [
        ("update projects set archived = true", "archived"),
        (
            "update projects set pending_delete = true",
            "pending_delete",
        ),
        ("update projects set archived = false", "pending_delete"),
        ("update projects set pending_delete = null", "queued"),
    ] {
        client.batch_execute(change)?;
        assert_eq!(outcome(&mut client, &push)?, expected, "{change}");
    }
    Ok(())
}

#[test]
fn nothing_is_told_in_silent_mode() -> Result<()> {
    let mut client = told("notify_silent")?;
    client.batch_execute(
        "create table application_settings (id bigserial primary key, silent_mode_enabled boolean);
         insert into application_settings (silent_mode_enabled) values (true), (null)",
    )?;
    // GitLab has the table from the start, so a session does not look for it again.
    let mut client = cluster()?.connect("notify_silent")?;
    let push = push("refs/heads/main");
    let mention = json!({"object_kind": "group_mention", "mentioned": {"id": 1}});
    let before = outcomes(&mut client, &mention)?;
    // The newest row counts.
    for (silent, expected) in [
        ("null", "queued"),
        ("true", "silent_mode"),
        ("false", "queued"),
    ] {
        client.batch_execute(&format!(
            "update application_settings set silent_mode_enabled = {silent} where id = 2"
        ))?;
        assert_eq!(outcome(&mut client, &push)?, expected, "{silent}");
        let mentions = outcomes(&mut client, &mention)?;
        let is_silent = mentions.iter().all(|(_, outcome)| outcome == "silent_mode");
        assert_eq!(
            is_silent || mentions.is_empty(),
            silent == "true" || before.is_empty()
        );
    }
    Ok(())
}

/// A project's integration that inherits is notified through the workspace of the integration it inherits from.
#[test]
fn a_workspace_is_inherited() -> Result<()> {
    let mut client = told("notify_heir")?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(
        "select app(100, 'group_id', 20), app(101, 'group_id', 21), app(102, 'project_id', 32);
         update integrations set inherit_from_id = id - 1 where id in (101, 102);
         delete from slack_integrations where integration_id in (101, 102);
         delete from lockstep_internal.slack_notification where integration_id in (101, 102)",
    )?;
    let push = event("push", 32, json!({"ref": "refs/heads/main"}));
    let expected = (102, Some(100), vec!["#c".to_owned()], "queued".to_owned());
    assert_eq!(publish(&mut client, &push)?, [expected]);
    let claim = "select count(*) from lockstep_api.claim_deliveries(10, '1 minute', 300)";
    let failed = "select count(*) from lockstep_internal.slack_delivery where error = 'inactive'";
    assert_eq!(number(&mut client, claim)?, 1);
    // Each integration has a switch of its own.
    client.batch_execute(
        "update lockstep_internal.slack_channel set not_before = '-infinity', lease = null, leased_until = null, delivery = null;
         update integrations set active = false where id = 102",
    )?;
    assert_eq!(number(&mut client, claim)?, 0);
    assert_eq!(number(&mut client, failed)?, 1);
    assert_eq!(outcome(&mut client, &push)?, "inactive");
    // A workspace of its own counts first; without any there is none to be notified.
    client.batch_execute(
        "update integrations set active = true where id = 102; update integrations set inherit_from_id = 102 where id = 100;
         delete from slack_integrations where integration_id = 100",
    )?;
    assert_eq!(outcome(&mut client, &push)?, "not_installed");
    Ok(())
}
