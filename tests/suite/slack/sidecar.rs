//! The functions for the sidecar: events, bots, lists, switches.

use anyhow::{Context, Result};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::cluster;
use crate::service_account::number;
use crate::slack::workspaces;
use crate::surface::refusal::refused;

pub(crate) fn one(client: &mut Client, query: &str) -> Result<Option<String>> {
    let row = client.query_one(query, &[]).context(query.to_owned())?;
    Ok(row.get(0))
}

fn event(id: &str, kind: &str, args: &str) -> String {
    format!(
        "select lockstep_api.receive_slack_event('{id}', '{kind}', 'A', null, clock_timestamp(), '{args}')"
    )
}

const JOBS: &str = "select count(*) from lockstep_internal.job";

#[test]
fn events_count_once() -> Result<()> {
    let mut client = workspaces("slack_event", Layout::Narrow)?;
    for (id, kind, args, answer) in [
        ("1", "app_home_opened", "{\"tab\": \"home\"}", "queued"),
        ("1", "app_home_opened", "{}", "duplicate"),
        ("2", "message", "{}", "ignored"),
        ("2", "app_home_opened", "{}", "queued"),
        (
            "3",
            "tokens_revoked",
            "{\"tokens\": {\"oauth\": [\"U1\"], \"bot\": []}}",
            "done",
        ),
        (
            "4",
            "tokens_revoked",
            "{\"tokens\": {\"oauth\": [\"U1\"]}}",
            "done",
        ),
        ("5", "tokens_revoked", "{}", "done"),
        (
            "5",
            "tokens_revoked",
            "{\"tokens\": {\"bot\": [\"B1\"]}}",
            "duplicate",
        ),
    ] {
        assert_eq!(
            one(&mut client, &event(id, kind, args))?.as_deref(),
            Some(answer),
            "{id} {kind}"
        );
    }
    assert_eq!(number(&mut client, JOBS)?, 2);
    let job = client.query_one(
        "select worker, args::text, retries, keeps_dead from lockstep_internal.job order by id limit 1",
        &[],
    )?;
    assert_eq!(job.get::<_, String>(0), "Slack::AppHomeWorker");
    assert_eq!(job.get::<_, String>(1), "{\"tab\": \"home\"}");
    assert_eq!(job.get::<_, i32>(2), 5);
    assert!(job.get::<_, bool>(3));
    // A job that failed for good is retried; a finished one is not.
    client.batch_execute(
        "update lockstep_internal.job set status = 'dead', died_at = now() where id = 1",
    )?;
    assert_eq!(
        one(&mut client, &event("1", "app_home_opened", "{}"))?.as_deref(),
        Some("again")
    );
    assert_eq!(
        one(&mut client, &event("1", "app_home_opened", "{}"))?.as_deref(),
        Some("duplicate")
    );
    client.batch_execute("delete from lockstep_internal.job where id = 1")?;
    assert_eq!(
        one(&mut client, &event("1", "app_home_opened", "{}"))?.as_deref(),
        Some("duplicate")
    );
    // Revoking the bot's token means the app is gone.
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where team_id = 'A'"
        )?,
        4
    );
    assert_eq!(
        one(
            &mut client,
            &event("6", "tokens_revoked", "{\"tokens\": {\"bot\": [\"B1\"]}}")
        )?
        .as_deref(),
        Some("done")
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where team_id = 'A'"
        )?,
        0
    );
    for call in [
        "('', 'app_home_opened', 'A', null, now(), '{}')",
        "('7', 'app_uninstalled', null, null, now(), '{}')",
        "('7', 'app_uninstalled', '', '', now(), '{}')",
    ] {
        refused(
            &mut client,
            &format!("select lockstep_api.receive_slack_event{call}"),
            "22023",
            "must",
        )?;
    }
    for call in [
        "(null, 'a', 'A', null, now(), '{}')",
        "('7', null, 'A', null, now(), '{}')",
        "('7', 'a', 'A', null, null, '{}')",
    ] {
        refused(
            &mut client,
            &format!("select lockstep_api.receive_slack_event{call}"),
            "22004",
            "must not be null",
        )?;
    }
    // Swept: old events whose job is gone.
    client.batch_execute(
        "update lockstep_internal.slack_event set received_at = now() - interval '25 hours' where event_id in ('1', '2', '3');
         select lockstep_api.begin_slack_install('old', 'b', lockstep.issue_slack_install_ticket(project_id => 1)); select lockstep_api.begin_slack_install('new', 'b');
         update lockstep_internal.slack_install_state set expires_at = now() - interval '25 hours' where ticket is not null;
         update lockstep_internal.slack_install_ticket set expires_at = now() - interval '25 hours'",
    )?;
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 4);
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 0);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_install_state"
        )?,
        1
    );
    Ok(())
}

/// Who connects the app again links the accounts again; those of other workspaces stay.
#[test]
fn accounts_are_not_linked_to_a_workspace_that_is_gone() -> Result<()> {
    let mut client = workspaces("slack_unlinked", Layout::Narrow)?;
    let uninstalled = event("1", "app_uninstalled", "{}");
    // Without that table, too.
    assert_eq!(one(&mut client, &uninstalled)?.as_deref(), Some("done"));
    client.batch_execute(
        "create table chat_names (id bigserial primary key, user_id bigint, team_id varchar, chat_id varchar);
         insert into chat_names (user_id, team_id, chat_id) values (1, 'A', 'U1'), (2, 'A', 'U2'), (1, 'B', 'U1')",
    )?;
    let links = "select count(*) from chat_names";
    for (id, kind, left) in [("2", "tokens_revoked", 3), ("3", "app_uninstalled", 1)] {
        let gone = event(id, kind, "{\"tokens\": {\"bot\": [\"B1\"]}}");
        assert_eq!(one(&mut client, &gone)?.as_deref(), Some("done"));
        assert_eq!(number(&mut client, links)?, left, "{kind}");
    }
    Ok(())
}

/// An uninstallation event that arrives after the workspace was installed again has no effect.
#[test]
fn late_events_do_nothing() -> Result<()> {
    let mut client = workspaces("slack_late", Layout::Narrow)?;
    client.batch_execute("select lockstep.install_slack_workspace('A', 'Team A', 'U2', 'B2', 't', 'i', '{}', project_id => 1)")?;
    let late = event("1", "app_uninstalled", "{}").replace(
        "clock_timestamp()",
        "clock_timestamp() - interval '5 seconds'",
    );
    assert_eq!(one(&mut client, &late)?.as_deref(), Some("done"));
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where team_id = 'A'"
        )?,
        4
    );
    Ok(())
}

#[test]
fn jobs_are_of_the_slack_app() -> Result<()> {
    let mut client = workspaces("slack_enqueue", Layout::Narrow)?;
    let enqueue = |arguments: &str| format!("select lockstep_api.enqueue_slack_job({arguments})");
    let first = number(
        &mut client,
        &enqueue("'Slack::InteractionWorker', '{}', 'key'"),
    )?;
    assert_eq!(
        number(
            &mut client,
            &enqueue("'Slack::InteractionWorker', '{}', 'key'")
        )?,
        first
    );
    for worker in ["IrkerWorker", "slack::X", " Slack::X", ""] {
        refused(
            &mut client,
            &enqueue(&format!("'{worker}', '{{}}'")),
            "42501",
            "not a worker of the Slack app",
        )?;
    }
    Ok(())
}

#[test]
fn bots_and_lists() -> Result<()> {
    let mut client = workspaces("slack_list", Layout::Narrow)?;
    let bot = |ids: &str| {
        format!(
            "select coalesce((select concat_ws(' ', team_id, bot_user_id, encode(token, 'escape'), scopes, user_id) from lockstep_api.slack_bot({ids})), 'none')"
        )
    };
    for (ids, answer) in [
        ("'A', null", "A B1 token {chat:write,commands} U1"),
        ("'B', null", "none"),
        ("'C', 'A'", "A B1 token {chat:write,commands} U1"),
        ("null, 'A'", "A B1 token {chat:write,commands} U1"),
        ("'A', 'B'", "A B1 token {chat:write,commands} U1"),
        ("'C', null", "none"),
    ] {
        assert_eq!(
            one(&mut client, &bot(ids))?.as_deref(),
            Some(answer),
            "{ids}"
        );
    }
    client.batch_execute(
        "select lockstep.install_slack_workspace('E1', 'Enterprise', 'U8', 'B8', 'token 8', 'iv', '{b,a}', enterprise_id => 'E1', expires_at => '2030-01-01')",
    )?;
    assert_eq!(
        one(&mut client, &bot("'T9', 'E1'"))?.as_deref(),
        Some("E1 B8 token 8 {a,b} U8")
    );
    let list = |arguments: &str| {
        format!(
            "select coalesce((select string_agg(alias, ' ') from lockstep_api.list_slack_integrations({arguments})), '')"
        )
    };
    client.batch_execute("update slack_integrations set alias = 'Group/A_1%' where id = 1; update integrations set push_events = false, alert_events = true where id = 2")?;
    for (arguments, answer) in [
        ("'A', null", "Group/A_1% a2 a3 a4"),
        ("'A', null, max_rows => 2", "Group/A_1% a2"),
        ("'A', null, max_rows => 0", ""),
        ("'A', null, 'a2'", "a2"),
        ("'A', null, 'A2'", ""),
        ("'A', null, search => 'A'", "Group/A_1% a2 a3 a4"),
        ("'A', null, search => '_'", "Group/A_1%"),
        ("'A', null, search => '%'", "Group/A_1%"),
        ("'A', null, search => 'group/a'", "Group/A_1%"),
        ("'A', null, id => 3", "a3"),
        ("'A', null, id => 5", ""),
        ("'B', null", "b5 b6"),
        ("'X', 'B'", "b5 b6"),
    ] {
        assert_eq!(
            one(&mut client, &list(arguments))?.as_deref(),
            Some(answer),
            "{arguments}"
        );
    }
    // Each of several has the answer of its own place, whatever the others are.
    let by_alias = |arguments: &str| {
        format!(
            "select coalesce((select string_agg(concat(place, ' ', alias), ', ' order by place) from lockstep_api.slack_integrations_by_alias({arguments})), '')"
        )
    };
    for (arguments, answer) in [
        ("'{}', '{}', '{}'", ""),
        (
            "'{A,B,A,A}', '{null,null,null,null}', '{a2,b6,a2,a4}'",
            "1 a2, 2 b6, 3 a2, 4 a4",
        ),
        ("'{A,B}', '{null,null}', '{b5,a2}'", ""),
        ("'{X,A,null}', '{B,B,A}', '{b5,b5,a3}'", "1 b5, 3 a3"),
        (
            "'{A,A,A}', '{null,null,null}', '{null,group-1/nothing,a3}'",
            "3 a3",
        ),
        (
            "array_fill('A'::text, '{1000}'), array_fill(null::text, '{1000}'), array_fill('none'::text, '{999}') || 'a3'::text",
            "1000 a3",
        ),
    ] {
        assert_eq!(
            one(&mut client, &by_alias(arguments))?.as_deref(),
            Some(answer),
            "{arguments}"
        );
    }
    for (arguments, state, message) in [
        (
            "'{A,null}', '{null,null}', '{a2,a3}'",
            "22023",
            "team_id or enterprise_id",
        ),
        (
            "'{A}', '{null,null}', '{a2,a3}'",
            "22023",
            "team_ids has 1 elements, but aliases has 2",
        ),
        (
            "'{A,A}', '{}', '{a2,a3}'",
            "22023",
            "enterprise_ids has 0 elements",
        ),
        ("'{A}', '{null}', '{}'", "22023", "aliases has 0"),
        (
            "array_fill('A'::text, '{1001}'), array_fill(null::text, '{1001}'), array_fill('a3'::text, '{1001}')",
            "54000",
            "1001 aliases are too many",
        ),
        ("null, '{}', '{a2}'", "22004", "team_ids"),
        ("'{A}', '{null}', '{a2}', 'nowhere'", "3F000", "nowhere"),
    ] {
        refused(&mut client, &by_alias(arguments), state, message)?;
    }
    refused(
        &mut client,
        &list("'A', null, max_rows => -1"),
        "22023",
        "max_rows",
    )?;
    let row = client.query_one(
        "select slack_integration_id, integration_id, owner, path, active, events[1:3]::text, scopes::text, has_token, user_id
           from lockstep_api.list_slack_integrations('A', null, 'a2')",
        &[],
    )?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2, 2));
    assert_eq!(row.get::<_, String>(2), "project");
    assert_eq!(row.get::<_, String>(3), "group-1/p2");
    assert_eq!(
        row.get::<_, String>(5),
        "{alert,commit,confidential_issues}"
    );
    assert_eq!(row.get::<_, String>(6), "{chat:write,commands}");
    assert!(row.get::<_, bool>(4) && row.get::<_, bool>(7));
    let list = "select string_agg(concat_ws(' ', team_id, team_name, is_org, integrations, active, scopes, has_token, installed_at is not null, expires_at is not null), ', ')
                  from lockstep.list_slack_workspaces()";
    assert_eq!(
        one(&mut client, list)?.as_deref(),
        Some(
            "E1 Enterprise t 0 0 {a,b} t t t, A Team A f 4 4 {chat:write,commands} t f f, B Team B f 2 2 {} f f f"
        )
    );
    let switch = |arguments: &str| {
        format!(
            "select alias || ' ' || changed from lockstep_api.set_slack_integration_active({arguments})"
        )
    };
    assert_eq!(
        one(&mut client, &switch("'A', null, 2, 'U1', false"))?.as_deref(),
        Some("a2 true")
    );
    assert_eq!(
        one(&mut client, &switch("'A', null, 2, 'U1', false"))?.as_deref(),
        Some("a2 false")
    );
    assert_eq!(
        one(&mut client, &switch("'A', null, 2, 'U9', true, true"))?.as_deref(),
        Some("a2 true")
    );
    refused(
        &mut client,
        &switch("'A', null, 2, 'U9', false"),
        "42501",
        "does not manage",
    )?;
    refused(
        &mut client,
        &switch("'A', null, 5, 'U2', false"),
        "P0002",
        "there is no integration",
    )?;
    refused(
        &mut client,
        &switch("'A', null, 5, 'U2', false, true"),
        "P0002",
        "there is no integration",
    )?;
    Ok(())
}

/// A claim skips what another session is claiming.
#[test]
fn claims_do_not_wait() -> Result<()> {
    let mut client = workspaces("slack_claim", Layout::Narrow)?;
    client.batch_execute(
        "select lockstep.install_slack_workspace(t, 'Team', 'U2', 'B2', 'token', 'iv', '{commands}', refresh_token => 'r', refresh_token_iv => 'ri', expires_at => now())
           from unnest('{A,B}'::text[]) t",
    )?;
    let claim = "select coalesce((select team_id from lockstep_api.claim_slack_token_refresh('1 hour', '1 minute')), 'none')";
    let mut other = cluster()?.connect("slack_claim")?;
    other.batch_execute("set lock_timeout = '2s'")?;
    client.batch_execute("begin")?;
    assert_eq!(one(&mut client, claim)?.as_deref(), Some("A"));
    assert_eq!(one(&mut other, claim)?.as_deref(), Some("B"));
    assert_eq!(one(&mut other, claim)?.as_deref(), Some("none"));
    client.batch_execute("rollback")?;
    assert_eq!(one(&mut other, claim)?.as_deref(), Some("A"));
    Ok(())
}
