//! What waits is not sent once nobody is notified of its project any more, neither for an integration nor for a subscription.

use anyhow::Result;
use postgres::Client;
use serde_json::json;

use crate::database::cluster;
use crate::delivery::claim::{claim, numbers, text};
use crate::notification::inheritance::GROUPS;
use crate::notification::publish::{event, outcome, told};
use crate::service_account::number;

/// An integration of group 20 sends to #c; #f of F follows project 30 of that group, and project 31.
const WORLD: &str = "
alter table projects add archived boolean, add pending_delete boolean;
create table application_settings (id bigserial primary key, silent_mode_enabled boolean);
insert into application_settings (silent_mode_enabled) values (false);
select app(100, 'group_id', 20);
select lockstep.install_slack_workspace('F', 'Followers', 'U3', 'BF', 'tokenf', 'ivf', '{commands,chat:write}');
select lockstep.subscribe_slack_channel(30, 'F', '#f'), lockstep.subscribe_slack_channel(31, 'F', '#f')";

fn world(name: &str) -> Result<Client> {
    let mut client = told(name)?;
    client.batch_execute(GROUPS)?;
    client.batch_execute(WORLD)?;
    for project in [30, 31, 30] {
        let push = event("push", project, json!({"ref": "refs/heads/main"}));
        client.execute(
            "select lockstep.publish_event($1::text::jsonb)",
            &[&push.to_string()],
        )?;
    }
    Ok(client)
}

/// Of each delivery: project, status, error.
const FATES: &str = "
select string_agg(distinct concat_ws(' ', e.project_id, d.status, d.error), ', ')
  from lockstep_internal.slack_delivery d join lockstep_internal.event e on e.id = d.event";

#[test]
fn what_waits_for_a_quiet_project_is_not_sent() -> Result<()> {
    for (reason, change) in [
        (
            "archived",
            "update projects set archived = true where id = 30",
        ),
        (
            "pending_delete",
            "update projects set pending_delete = true where id = 30",
        ),
        ("project_gone", "delete from projects where id = 30"),
    ] {
        let mut client = world(&format!("delivery_quiet_{reason}"))?;
        assert_eq!(text(&mut client, FATES)?, "30 waiting, 31 waiting");
        client.batch_execute(change)?;
        // Project 31 has its turn in the same claim: in #c and in #f.
        assert_eq!(numbers(&claim(&mut client, 10)?).len(), 2, "{reason}");
        assert_eq!(
            text(&mut client, FATES)?,
            format!("30 failed {reason}, 31 waiting")
        );
        let failures = "select (lockstep.status_report() -> 'failures')::text";
        assert_eq!(text(&mut client, failures)?, "[]", "{reason}");
    }
    Ok(())
}

/// Why nothing is sent any more, by what holds for the project and what has become of who is notified. What holds for the project
/// counts first: it is nobody's failure.
#[test]
fn what_is_quiet_is_no_failure_of_who_is_notified() -> Result<()> {
    let quiet = [
        ("", "select 1"),
        (
            "silent_mode",
            "update application_settings set silent_mode_enabled = true",
        ),
        ("project_gone", "delete from projects where id = 30"),
        (
            "pending_delete",
            "update projects set pending_delete = true where id = 30",
        ),
        (
            "archived",
            "update projects set archived = true where id = 30",
        ),
    ];
    let troubles = [
        (
            "not_installed",
            "delete from slack_integrations where integration_id = 100; delete from integrations where id = 100",
        ),
        (
            "not_installed",
            "delete from slack_integrations where integration_id = 100",
        ),
        (
            "inactive",
            "update integrations set active = false where id = 100",
        ),
        (
            "unsubscribed",
            "select lockstep.unsubscribe_slack_channel(30, 'F', '#f')",
        ),
    ];
    for (reason, end) in quiet {
        let mut client = world(&format!("delivery_pairs_{reason}"))?;
        for (error, change) in troubles {
            let channel = if error == "unsubscribed" { "#f" } else { "#c" };
            let mut both = client.transaction()?;
            both.batch_execute(&format!(
                "delete from lockstep_internal.slack_delivery d using lockstep_internal.event e, lockstep_internal.slack_channel c
                  where e.id = d.event and c.id = d.channel and (e.project_id <> 30 or c.channel <> '{channel}'); {change}; {end}"
            ))?;
            // A direct message whose reader has lost access as well is one of these.
            both.batch_execute(
                "update lockstep_internal.slack_delivery set not_before = created_at",
            )?;
            both.query(
                "select * from lockstep_api.claim_deliveries(10, '1 hour', 1000)",
                &[],
            )?;
            let fates: String = both.query_one(FATES, &[])?.get(0);
            let expected = if reason.is_empty() { error } else { reason };
            assert_eq!(fates, format!("30 failed {expected}"), "{change}; {end}");
            let failures: String = both
                .query_one("select (lockstep.status_report() -> 'failures')::text", &[])?
                .get(0);
            let counts = reason.is_empty() && error != "unsubscribed";
            assert_eq!(failures != "[]", counts, "{change}; {end}: {failures}");
            both.rollback()?;
        }
    }
    Ok(())
}

/// A session that has looked before the table was there, as where GitLab's schema is loaded last, sees it from its creation on.
#[test]
fn a_table_that_is_created_later_counts() -> Result<()> {
    let name = "delivery_quiet_later";
    let mut client = told(name)?;
    let push = event("push", 1, json!({"ref": "refs/heads/main"}));
    assert_eq!(outcome(&mut client, &push)?, "queued");
    cluster()?.connect(name)?.batch_execute(
        "create table application_settings as select 1::bigint as id, true as silent_mode_enabled",
    )?;
    assert_eq!(outcome(&mut client, &push)?, "silent_mode");
    assert_eq!(claim(&mut client, 10)?.len(), 0);
    assert_eq!(text(&mut client, FATES)?, "1 failed silent_mode");
    Ok(())
}

/// What happened in no project is not sent in silent mode either: a test message here.
#[test]
fn nothing_that_waits_is_sent_in_silent_mode() -> Result<()> {
    let mut client = world("delivery_silent")?;
    client.batch_execute(
        "select * from lockstep.test_slack_integration(100); update application_settings set silent_mode_enabled = true",
    )?;
    assert_eq!(claim(&mut client, 10)?.len(), 0);
    assert_eq!(
        text(&mut client, FATES)?,
        "30 failed silent_mode, 31 failed silent_mode, failed silent_mode"
    );
    // Nothing is sent by itself when it ends.
    client.batch_execute("update application_settings set silent_mode_enabled = false")?;
    assert_eq!(claim(&mut client, 10)?.len(), 0);
    assert_eq!(
        number(&mut client, "select lockstep.retry_deliveries()")?,
        7
    );
    assert_eq!(claim(&mut client, 10)?.len(), 2);
    Ok(())
}
