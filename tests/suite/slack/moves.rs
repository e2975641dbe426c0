//! Rows that move between teams, and concurrent changes: no team gets another's values.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;
use crate::slack::{in_lockstep, state, workspaces};
use crate::surface::refusal::error_of;

/// Team A with an installation whose token is due for refresh; team B with its own.
fn installed(name: &str) -> Result<Client> {
    let mut client = workspaces(name, Layout::Narrow)?;
    client.batch_execute(
        "select lockstep.install_slack_workspace('A', 'A', 'U1', 'B1', 't', 'i', '{commands}', refresh_token => 'r', refresh_token_iv => 'ri',
                                                 expires_at => now());
         select lockstep.install_slack_workspace('B', 'B', 'UB', 'BB', 'tB', 'iB', '{links:read}', refresh_token => 'r', refresh_token_iv => 'ri',
                                                 expires_at => now() + interval '1 day')",
    )?;
    in_lockstep(&mut client)?;
    Ok(client)
}

/// Whether the rows of each team have their installation's token.
fn follows_installations(client: &mut Client) -> Result<()> {
    let differing = "
        select count(*) from slack_integrations s join lockstep_internal.slack_installation i using (team_id)
         where s.encrypted_bot_access_token is distinct from i.encrypted_bot_access_token";
    ensure!(
        number(client, differing)? == 0,
        "a team has a token that is not its installation's"
    );
    in_lockstep(client)
}

/// Moves project 4's row from A to B, and changes A before that is committed.
fn beside_a_move(name: &str, statement: &str) -> Result<Client> {
    let mut client = installed(name)?;
    let mut mover = cluster()?.connect(name)?;
    let mut moving = mover.transaction()?;
    moving.batch_execute(
        "select lockstep.install_slack_workspace('B', 'B', 'UB', 'BB', 'tB', 'iB', '{links:read}', project_id => 4, refresh_token => 'r',
                                                 refresh_token_iv => 'ri', expires_at => now() + interval '1 day')",
    )?;
    let mut other = cluster()?.connect(name)?;
    thread::scope(|scope| -> Result<()> {
        let doing = scope.spawn(move || other.batch_execute(statement));
        let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let begun = Instant::now();
        while number(&mut client, waits)? == 0 && !doing.is_finished() {
            ensure!(begun.elapsed() < PATIENCE, "it neither waits nor ends");
            thread::sleep(Duration::from_millis(5));
        }
        moving.commit()?;
        doing.join().ok().context("a session panicked")??;
        Ok(())
    })?;
    Ok(client)
}

#[test]
fn refreshed_token_stays_in_its_team() -> Result<()> {
    let mut client = beside_a_move(
        "slack_move_store",
        "select lockstep_api.store_slack_token('A', c.lease, 'tNEW', 'iNEW', 'r2', 'ri2', now()) from lockstep_api.claim_slack_token_refresh('1 hour', '1 hour') c",
    )?;
    ensure!(
        state(&mut client, "A")?.contains(" tNEW "),
        "{}",
        state(&mut client, "A")?
    );
    ensure!(
        state(&mut client, "B")?.contains(" tB "),
        "{}",
        state(&mut client, "B")?
    );
    follows_installations(&mut client)
}

#[test]
fn replaced_token_stays_in_its_team() -> Result<()> {
    let mut client = beside_a_move(
        "slack_move_replace",
        "select lockstep_api.replace_slack_token('A', 'i', 'tNEW', 'iNEW', 'ri', 'r2', 'ri2')",
    )?;
    follows_installations(&mut client)
}

#[test]
fn installation_stays_in_its_team() -> Result<()> {
    for (name, project) in [
        ("slack_move_install", ""),
        ("slack_move_install_2", ", project_id => 1"),
    ] {
        let statement = format!(
            "select lockstep.install_slack_workspace('A', 'A', 'UA', 'BA', 'tA', 'iA', '{{commands,chat:write}}'{project})"
        );
        let mut client = beside_a_move(name, &statement)?;
        ensure!(
            state(&mut client, "B")?.contains("{links:read}"),
            "{}",
            state(&mut client, "B")?
        );
        follows_installations(&mut client)?;
    }
    Ok(())
}

/// A row that changes its team like the application does: with a newer updated_at.
#[test]
fn row_that_comes_takes_what_the_team_has() -> Result<()> {
    let mut client = installed("slack_move_raw")?;
    client.batch_execute("update slack_integrations set team_id = 'B', updated_at = now() + interval '1 second' where id = 4")?;
    ensure!(
        state(&mut client, "B")?.starts_with("UB BB tB iB"),
        "{}",
        state(&mut client, "B")?
    );
    let kept = "select count(*) from lockstep_internal.slack_installation where team_id = 'B' and encrypted_refresh_token is not null";
    assert_eq!(number(&mut client, kept)?, 1);
    follows_installations(&mut client)
}

#[test]
fn end_of_a_workspace_spares_its_organization() -> Result<()> {
    let mut client = workspaces("slack_move_end", Layout::Narrow)?;
    client.batch_execute(
        "select lockstep.install_slack_workspace('T', 'T', 'U', 'B', 't', 'i', '{commands}', enterprise_id => 'E', project_id => 9);
         select lockstep.install_slack_workspace('E', 'E', 'U', 'B', 't', 'i', '{commands}', enterprise_id => 'E', project_id => 8);
         select lockstep_api.receive_slack_event('1', 'tokens_revoked', 'T', 'E', now() + interval '5 s', '{\"tokens\": {\"bot\": [\"x\"]}}');
         select lockstep_api.receive_slack_event('2', 'app_uninstalled', 'T', 'E', now() + interval '5 s', '{}')",
    )?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where team_id = 'T'"
        )?,
        0
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where team_id = 'E'"
        )?,
        1
    );
    Ok(())
}

/// Application triggers run with the rights of the table's owner, so they must not find the writer's objects.
#[test]
fn triggers_of_the_host_find_the_hosts_tables() -> Result<()> {
    let name = "slack_move_path";
    let mut client = workspaces(name, Layout::Narrow)?;
    client.batch_execute(&format!(
        "create role {name}_low; grant select, update on slack_integrations to {name}_low; create schema low authorization {name}_low;
         create table audit_log (id bigint); grant insert on audit_log to public;
         create function audit() returns trigger language plpgsql as $$begin insert into audit_log values (new.id); return null; end$$;
         create trigger audit after update on slack_integrations for each row execute function audit();
         set role {name}_low;
         create table low.audit_log (id bigint, by_whom text default current_user); grant insert on low.audit_log to public;
         grant usage on schema low to public; set search_path = low, public;
         update slack_integrations set user_id = 'UP' where id = 1;
         reset role; reset search_path",
    ))?;
    // The written row fired its own trigger under the writer's path, with the writer's rights; the others did not.
    let theirs = format!("select count(*) from low.audit_log where by_whom <> '{name}_low'");
    assert_eq!(number(&mut client, &theirs)?, 0);
    assert_eq!(number(&mut client, "select count(*) from audit_log")?, 3);
    in_lockstep(&mut client)
}

#[test]
fn organization_goes_with_its_scopes() -> Result<()> {
    let mut client = workspaces("slack_move_organization", Layout::Narrow)?;
    // A team with rows in both organizations: when one organization's scopes are deleted, its rows get no new ones.
    client.batch_execute(
        "select lockstep.install_slack_workspace('A', 'A', 'U1', 'B1', 'tok', 'iv', '{commands}', project_id => 10)",
    )?;
    let scopes = "select count(*) from slack_api_scopes where organization_id = 2";
    assert_eq!(number(&mut client, scopes)?, 1);
    client.batch_execute("delete from organizations where id = 2")?;
    assert_eq!(number(&mut client, scopes)?, 0);
    Ok(())
}

/// A deletion has locked its row when its links are deleted: it must not wait for a session that waits for that row.
#[test]
fn deletion_does_not_wait_with_its_row() -> Result<()> {
    let name = "slack_move_cascade";
    let mut client = workspaces(name, Layout::Narrow)?;
    let mut holder = cluster()?.connect(name)?;
    let mut holding = holder.transaction()?;
    holding.batch_execute("update slack_integrations set user_id = 'U9' where id = 5")?;
    client.batch_execute("set lock_timeout = '10s'; delete from integrations where id = 1")?;
    holding.batch_execute("update slack_integrations set user_id = 'U8' where id = 2")?;
    holding.commit()?;
    in_lockstep(&mut client)
}

#[test]
fn installation_beside_a_frozen_snapshot_is_right_or_refused() -> Result<()> {
    for level in ["repeatable read", "serializable"] {
        let name = format!("slack_move_{}", level.replace(' ', "_"));
        let mut client = workspaces(&name, Layout::Narrow)?;
        let mut other = cluster()?.connect(&name)?;
        other.batch_execute(&format!(
            "begin isolation level {level}; select 1 from slack_integrations limit 1"
        ))?;
        client.batch_execute("select lockstep.install_slack_workspace('C', 'C', 'UA', 'BA', 'tA2', 'iA2', '{commands}')")?;
        let insert = "insert into slack_integrations (team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token,
                        encrypted_bot_access_token_iv, created_at, updated_at, integration_id)
                      values ('C', 'C', 'c', 'U', 'B', 'tHOST', 'i', now(), now(), 7)";
        match other.batch_execute(insert) {
            Ok(()) => other.batch_execute("commit")?,
            Err(error) => {
                ensure!(
                    error.code().is_some_and(|code| code.code() == "40001"),
                    "{error:?}"
                );
                other.batch_execute("rollback")?;
            }
        }
        follows_installations(&mut client)?;
    }
    Ok(())
}

#[test]
fn trigger_that_keeps_an_integration_out_is_told() -> Result<()> {
    let mut client = workspaces("slack_move_kept_out", Layout::Narrow)?;
    client.batch_execute(
        "delete from integrations where id = 10;
         create function no() returns trigger language plpgsql as $$begin return null; end$$;
         create trigger no before insert on integrations for each row execute function no()",
    )?;
    let install = "select lockstep.install_slack_workspace('A', 'A', 'U', 'B', 't', 'i', '{}', project_id => 10)";
    assert_eq!(error_of(&mut client, install)?.code().code(), "55000");
    Ok(())
}

/// PostgreSQL shows the whole row that a constraint rejects, so invalid rows must be rejected earlier.
#[test]
fn refusals_show_no_token() -> Result<()> {
    let mut client = workspaces("slack_move_detail", Layout::Narrow)?;
    let long = "b".repeat(256);
    for arguments in [
        format!("'U', '{long}', 'SECRET', 'iv', '{{}}', project_id => 7"),
        "'U', 'B', 'SECRET', 'iv', '{}', refresh_token => 'SECRET'".to_owned(),
        "'U', 'B', 'SECRET', 'iv', '{}', refresh_token_iv => 'SECRET'".to_owned(),
        "'U', 'B', 'SECRET', '', '{}'".to_owned(),
        "'U', 'B', '', 'SECRET', '{}'".to_owned(),
        "'', 'B', 'SECRET', 'iv', '{}'".to_owned(),
    ] {
        let error = error_of(
            &mut client,
            &format!("select lockstep.install_slack_workspace('Q', 'Q', {arguments})"),
        )?;
        ensure!(error.code().code() == "22023", "{error:?}");
        let detail = error.detail().unwrap_or_default();
        ensure!(
            !detail.contains("SECRET") && !detail.contains("534543524554"),
            "{detail}"
        );
    }
    Ok(())
}

/// Two transactions that each write a team, and then more of it: neither waits for the other.
#[test]
fn transactions_go_on_with_their_teams() -> Result<()> {
    let name = "slack_move_upgrade";
    let mut client = workspaces(name, Layout::Narrow)?;
    let mut other = cluster()?.connect(name)?;
    let insert = |team: &str, integration: i64| {
        format!(
            "begin; set local lock_timeout = '10s';
             insert into slack_integrations (team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
             values ('{team}', '{team}', 'new', 'U', now(), now(), {integration})"
        )
    };
    client.batch_execute(&insert("C", 7))?;
    other.batch_execute(&insert("D", 8))?;
    client.batch_execute(
        "update slack_integrations set user_id = 'U9' where team_id = 'C'; commit",
    )?;
    other.batch_execute(
        "update slack_integrations set user_id = 'U9' where team_id = 'D'; commit",
    )?;
    in_lockstep(&mut client)
}

/// A backfill checks each team once, however its rows are spread over the ranges.
#[test]
fn backfill_repairs_a_team_with_its_first_row() -> Result<()> {
    let mut client = workspaces("slack_move_backfill", Layout::Narrow)?;
    client.batch_execute(
        "alter table slack_integrations disable trigger user;
         update slack_integrations set user_id = 'drifted' where id in (2, 6);
         alter table slack_integrations enable trigger user",
    )?;
    let repair = |client: &mut Client, range: &str| -> Result<i64> {
        let query =
            format!("select updated from lockstep.backfill_batch('slack_workspaces', {range})");
        number(client, &query)
    };
    assert_eq!(repair(&mut client, "2, 4")?, 0);
    assert_eq!(repair(&mut client, "1, 1")?, 1);
    client.batch_execute(
        "call lockstep.backfill('slack_workspaces', settings => '{\"sub_batch_size\": 1}')",
    )?;
    in_lockstep(&mut client)
}
