//! The statements with which GitLab propagates a Slack app integration, in its order: rows first, then their scopes, copied from
//! the group's row.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::cluster;
use crate::service_account::number;
use crate::slack::{in_lockstep, state, text, workspaces};

/// Team P: the row of group 1 with three scopes, and an unrelated project in the same workspace. Projects 1001 and on will
/// inherit, in batches of 100.
const SCENE: &str = "
insert into slack_api_scopes (id, name, organization_id) values (4, 'chat:write.public', 1);
insert into integrations (id, group_id, type_new, category, active) values (900, 1, 'Integrations::GitlabSlackApplication', 'chat', true);
insert into projects (id, path, namespace_id) select n, 'p' || n, 1 from generate_series(1001, 2000) n;
insert into slack_integrations (id, team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, group_id)
  values (900, 'P', 'Team P', 'group-1', 'U1', 'B1', 'token', 'iv', '2020-01-01', '2020-01-01', 900, 1);
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, group_id) select 900, s, 1 from unnest(array[1, 2, 4]) s;
insert into integrations (id, project_id, type_new, category, active) values (901, 11, 'Integrations::GitlabSlackApplication', 'chat', true);
insert into slack_integrations (id, team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, project_id)
  values (901, 'P', 'Team P', 'group-1/other', 'U1', 'B1', 'token', 'iv', '2020-01-01', '2020-01-01', 901, 11);
select setval('integrations_id_seq', 10000), setval('slack_integrations_id_seq', 10000);";

const STATE: &str = "U1 B1 token iv 2020-01-01 00:00:00 {chat:write,chat:write.public,commands}";

/// Other rows: the group's, the other project's, all of teams A and B, with their links.
const OTHERS: &str = "
select md5(string_agg(v, ',' order by v)) from (
  select 's' || s.id || s.ctid || s.xmin as v from slack_integrations s where s.id <= 901
  union all select 'l' || l.id || l.ctid || l.xmin from slack_integrations_scopes l where l.slack_integration_id <= 901) v";

fn scene(name: &str) -> Result<Client> {
    let mut client = workspaces(name, Layout::Narrow)?;
    client
        .batch_execute("insert into projects (id, path, namespace_id) values (11, 'other', 1)")?;
    client.batch_execute(SCENE)?;
    assert_eq!(state(&mut client, "P")?, STATE);
    Ok(client)
}

/// A batch of projects, as BulkCreateService creates their integrations: `$1` to `$2`.
const CREATE: [&str; 3] = [
    "insert into integrations (project_id, type_new, category, active, inherit_from_id, created_at, updated_at)
       select n, 'Integrations::GitlabSlackApplication', 'chat', true, 900, now(), now() from generate_series($1::bigint, $2::bigint) n
     on conflict do nothing returning id",
    "insert into slack_integrations (team_id, team_name, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                     integration_id, alias, project_id, created_at, updated_at)
       select g.team_id, g.team_name, g.user_id, g.bot_user_id, g.encrypted_bot_access_token, g.encrypted_bot_access_token_iv, i.id,
              'group-1/p' || i.project_id, i.project_id, current_timestamp, current_timestamp
         from slack_integrations g, integrations i where g.id = 900 and i.project_id between $1 and $2
     on conflict do nothing returning id",
    // The scopes are those that the group's row has now.
    "insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
       select s.id, l.slack_api_scope_id, s.project_id
         from slack_integrations_scopes l, slack_integrations s where l.slack_integration_id = 900 and s.project_id between $1 and $2
     on conflict do nothing returning id",
];

/// The same batch, as BulkUpdateService updates it from the group's row.
const UPDATE: [&str; 3] = [
    "update slack_integrations s
        set team_id = g.team_id, team_name = g.team_name, user_id = g.user_id, bot_user_id = g.bot_user_id,
            encrypted_bot_access_token = g.encrypted_bot_access_token, encrypted_bot_access_token_iv = g.encrypted_bot_access_token_iv
       from slack_integrations g where g.id = 900 and s.project_id between $1::bigint and $2::bigint",
    "delete from slack_integrations_scopes where slack_integration_id in (select id from slack_integrations where project_id between $1::bigint and $2::bigint)",
    CREATE[2],
];

fn run(client: &mut Client, statements: &[&str], first: i64, last: i64) -> Result<()> {
    let mut transaction = client.transaction()?;
    for statement in statements {
        transaction
            .execute(*statement, &[&first, &last])
            .with_context(|| (*statement).to_owned())?;
    }
    transaction.commit()?;
    Ok(())
}

/// All rows have the team's scopes, and no other row was written.
fn is_right(client: &mut Client, projects: i64, others: &str) -> Result<()> {
    assert_eq!(state(client, "P")?, STATE);
    let rows = "select count(*) from slack_integrations where project_id > 1000";
    assert_eq!(number(client, rows)?, projects);
    let links = "select count(*) from slack_integrations_scopes l join slack_integrations s on s.id = l.slack_integration_id where s.project_id > 1000";
    assert_eq!(number(client, links)?, 3 * projects);
    assert_eq!(text(client, OTHERS)?, others);
    in_lockstep(client)
}

#[test]
fn propagation_keeps_scopes() -> Result<()> {
    let mut client = scene("slack_propagate")?;
    let others = text(&mut client, OTHERS)?;
    run(&mut client, &CREATE, 1001, 1001)?;
    is_right(&mut client, 1, &others)?;
    run(&mut client, &CREATE, 1002, 1100)?;
    is_right(&mut client, 100, &others)?;
    run(&mut client, &UPDATE, 1001, 1100)?;
    is_right(&mut client, 100, &others)?;
    // Statement by statement, each in its own transaction, and without "on conflict".
    for statement in CREATE {
        let statement = statement.replace("on conflict do nothing", "");
        client
            .execute(&statement, &[&1101_i64, &1101_i64])
            .context(statement)?;
    }
    is_right(&mut client, 101, &others)
}

#[test]
fn propagation_keeps_scopes_with_four_at_once() -> Result<()> {
    let name = "slack_propagate_four";
    let mut client = scene(name)?;
    let others = text(&mut client, OTHERS)?;
    for level in ["read committed", "repeatable read"] {
        for statements in [CREATE, UPDATE] {
            let sessions: Vec<_> = (0..4)
                .map(|session| {
                    thread::spawn(move || -> Result<()> {
                        let mut client = cluster()?.connect(name)?;
                        client.batch_execute(&format!(
                            "set default_transaction_isolation = '{level}'"
                        ))?;
                        for batch in 0..5 {
                            let first = 1001 + 50 * (4 * batch + session);
                            // With frozen snapshots it is right or refused, and retried.
                            while let Err(error) = run(&mut client, &statements, first, first + 49)
                            {
                                let code = error
                                    .downcast_ref::<postgres::Error>()
                                    .and_then(postgres::Error::code)
                                    .map(|code| code.code().to_owned());
                                ensure!(code.as_deref() == Some("40001"), "{error:?}");
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            for session in sessions {
                session
                    .join()
                    .map_err(|_| anyhow!("a session panicked"))??;
            }
            is_right(&mut client, 1000, &others).context(level)?;
        }
        client.batch_execute("delete from integrations where project_id > 1000")?;
    }
    Ok(())
}

/// A single statement for everything, including rows of another team, an upsert, a row without a token, and one that moves from
/// another team.
#[test]
fn rows_that_bring_nothing_new_take_over() -> Result<()> {
    let mut client = scene("slack_propagate_more")?;
    let of_b = state(&mut client, "B")?;
    let others = text(&mut client, OTHERS)?;
    run(&mut client, &CREATE, 1001, 2000)?;
    is_right(&mut client, 1000, &others)?;
    client.batch_execute(
        "insert into slack_integrations (team_id, team_name, alias, user_id, encrypted_bot_access_token, created_at, updated_at, integration_id)
         values ('P', 'P', 'one', 'U9', 'token', now(), now(), 7), ('B', 'B', 'two', 'U9', null, now(), now(), 8), ('P', 'P', 'three', 'U9', null, now(), now(), 9)",
    )?;
    assert_eq!(state(&mut client, "P")?, STATE);
    assert_eq!(state(&mut client, "B")?, of_b);
    client.batch_execute(
        "insert into slack_integrations (team_id, team_name, alias, user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv, created_at, updated_at, integration_id)
         values ('P', 'P', 'one', 'U9', 'token', 'iv', now(), now(), 7), ('P', 'P', 'four', 'U9', 'token', 'iv', now(), now(), 7)
         on conflict (team_id, alias) do update
           set user_id = excluded.user_id, encrypted_bot_access_token = excluded.encrypted_bot_access_token, updated_at = excluded.updated_at",
    )?;
    assert_eq!(state(&mut client, "P")?, STATE);
    // A row of team A gets the group's token, team and user, as GitLab does it.
    client.batch_execute(
        "update slack_integrations set encrypted_bot_access_token = 'of A' where id = 1",
    )?;
    client.batch_execute(
        "update slack_integrations s set team_id = g.team_id, user_id = g.user_id, bot_user_id = g.bot_user_id,
                encrypted_bot_access_token = g.encrypted_bot_access_token, encrypted_bot_access_token_iv = g.encrypted_bot_access_token_iv
           from slack_integrations g where g.id = 900 and s.id = 3",
    )?;
    assert_eq!(state(&mut client, "P")?, STATE);
    assert!(state(&mut client, "A")?.starts_with("U1 B1 of A iv"));
    in_lockstep(&mut client)
}

/// A link that the statement itself deletes does not count as existing.
#[test]
fn links_replaced_by_one_statement_stay() -> Result<()> {
    let mut client = scene("slack_propagate_replaced")?;
    let others = text(&mut client, OTHERS)?;
    run(&mut client, &CREATE, 1001, 1100)?;
    client.batch_execute(
        "with gone as (
           delete from slack_integrations_scopes l using slack_integrations s
            where s.id = l.slack_integration_id and s.project_id between 1001 and 1100
           returning l.slack_integration_id, l.slack_api_scope_id, l.project_id)
         insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id) select * from gone",
    )?;
    is_right(&mut client, 100, &others)
}

/// GitLab's installation: the row itself, then all others of the team in a batch, token first, scopes afterwards.
#[test]
fn installation_of_the_host_ends_right() -> Result<()> {
    let mut client = scene("slack_propagate_install")?;
    run(&mut client, &CREATE, 1001, 1100)?;
    let replaced = |scopes: &str, batch: &str| {
        format!(
            "begin;
             delete from slack_integrations_scopes where slack_integration_id in (select id from slack_integrations where {batch});
             insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id, group_id)
               select s.id, c, s.project_id, s.group_id from slack_integrations s, unnest(array[{scopes}]) c where {batch} on conflict do nothing;
             commit"
        )
    };
    for (scopes, names) in [
        ("1, 2, 4", "{chat:write,chat:write.public,commands}"),
        ("1, 3", "{commands,links:read}"),
        ("3", "{links:read}"),
    ] {
        let expected = format!("U2 B2 token {scopes} iv 2 2025-01-01 00:00:00 {names}");
        let update = format!(
            "set user_id = 'U2', bot_user_id = 'B2', encrypted_bot_access_token = 'token {scopes}', encrypted_bot_access_token_iv = 'iv 2', updated_at = '2025-01-01'"
        );
        client.batch_execute("begin")?;
        client.batch_execute(&format!(
            "delete from slack_integrations_scopes where slack_integration_id = 900 and slack_api_scope_id <> all (array[{scopes}])"
        ))?;
        for scope in scopes.split(", ") {
            client.batch_execute(&format!(
                "insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, group_id) values (900, {scope}, 1) on conflict do nothing"
            ))?;
        }
        client.batch_execute(&format!(
            "update slack_integrations {update} where id = 900; commit"
        ))?;
        assert_eq!(state(&mut client, "P")?, expected);
        for batch in [
            "project_id = 11",
            "project_id between 1001 and 1050",
            "project_id between 1051 and 1100",
        ] {
            client.batch_execute(&format!("update slack_integrations {update} where {batch}"))?;
            client.batch_execute(&replaced(scopes, batch))?;
            assert_eq!(state(&mut client, "P")?, expected, "{batch}");
        }
        in_lockstep(&mut client)?;
    }
    // Replacing scopes in some rows sets the team's, and repeating it changes nothing.
    client.batch_execute(&replaced("1, 2", "project_id between 1001 and 1003"))?;
    assert!(state(&mut client, "P")?.ends_with("{chat:write,commands}"));
    let others = text(&mut client, OTHERS)?;
    client.batch_execute(&replaced("1, 2", "project_id between 1001 and 1003"))?;
    assert_eq!(text(&mut client, OTHERS)?, others);
    in_lockstep(&mut client)
}

/// Rows without a scope at the end of a transaction: a newer installation and a row that lost all its scopes have none, and so
/// does the whole team.
#[test]
fn transaction_settles_what_it_leaves_open() -> Result<()> {
    let mut client = scene("slack_propagate_open")?;
    run(&mut client, &CREATE, 1001, 1010)?;
    let links = "delete from slack_integrations_scopes where slack_integration_id in (select id from slack_integrations where project_id = 1001)";
    // Rolled back or linked again, it is unchanged.
    client.batch_execute(&format!(
        "begin; savepoint one; {links}; rollback to one; commit"
    ))?;
    assert_eq!(state(&mut client, "P")?, STATE);
    client.batch_execute(&format!(
        "begin; {links}; savepoint one;
         insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
           select s.id, 1, 1001 from slack_integrations s where s.project_id = 1001; rollback to one; commit"
    ))?;
    assert!(state(&mut client, "P")?.ends_with(" {}"));
    in_lockstep(&mut client)?;
    client.batch_execute("insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, group_id) select 900, s, 1 from unnest(array[1, 2, 4]) s")?;
    assert_eq!(state(&mut client, "P")?, STATE);
    let newer = "insert into slack_integrations (team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv, created_at, updated_at, integration_id)
                 values ('P', 'P', 'newer', 'U3', 'B3', 'newer', 'iv 3', '2026-01-01', '2026-01-01', 9)";
    client.batch_execute(&format!(
        "begin; {newer}; insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
           select s.id, c, 9 from slack_integrations s, unnest(array[1, 3]) c where s.alias = 'newer'; commit"
    ))?;
    assert_eq!(
        state(&mut client, "P")?,
        "U3 B3 newer iv 3 2026-01-01 00:00:00 {commands,links:read}"
    );
    // The tables may have changed when the transaction ends.
    client.batch_execute(&format!(
        "begin; {links}; truncate slack_integrations_scopes; commit"
    ))?;
    in_lockstep(&mut client)?;
    client.batch_execute(&format!(
        "{links}; begin; {newer_2}; drop table slack_integrations_scopes cascade; commit",
        newer_2 = newer.replace("newer", "newest")
    ))?;
    Ok(())
}

/// A workspace that is uninstalled between the batches is gone; rows propagated afterwards stay as GitLab writes them.
#[test]
fn propagation_goes_on_beside_an_end() -> Result<()> {
    let name = "slack_propagate_end";
    let mut client = scene(name)?;
    let mut host = cluster()?.connect(name)?;
    let mut transaction = host.transaction()?;
    for statement in &CREATE[..2] {
        transaction.execute(*statement, &[&1001_i64, &1100_i64])?;
    }
    let mut other = cluster()?.connect(name)?;
    let ending = thread::spawn(move || -> Result<i64> {
        number(&mut other, "select lockstep.uninstall_slack_workspace('P')")
    });
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    while number(&mut client, waits)? == 0 {
        ensure!(!ending.is_finished(), "it does not wait");
    }
    transaction.execute(CREATE[2], &[&1001_i64, &1100_i64])?;
    transaction.commit()?;
    assert_eq!(
        ending.join().map_err(|_| anyhow!("a session panicked"))??,
        102
    );
    run(&mut client, &CREATE, 1101, 1200)?;
    assert_eq!(state(&mut client, "P")?, "");
    in_lockstep(&mut client)
}
