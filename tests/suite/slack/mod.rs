//! Slack workspaces with plain writes: whatever is written, and however, the rows of each team end up identical.

mod ancestry;
mod caller;
mod install;
mod manager;
mod message;
mod moves;
mod new_workspace;
mod propagation;
pub(crate) mod rights;
pub(crate) mod sdk;
mod sidecar;
mod token;
mod writes;

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::{cluster, with_slack};
use crate::service_account::number;
use crate::surface::refusal::error_of;

/// The oracle, independent of the extension: rows of a team whose workspace columns differ, and links to a scope of another
/// organization than the row's.
const ORACLE: &str = "
create view scopes_of as
select s.id, s.team_id, array(select c.name from slack_integrations_scopes l join slack_api_scopes c on c.id = l.slack_api_scope_id
                               where l.slack_integration_id = s.id order by c.name collate \"C\") as scopes
  from slack_integrations s;
create view wrong as
select distinct s.id, s.team_id
  from slack_integrations s join slack_integrations o on o.team_id = s.team_id
  join scopes_of a on a.id = s.id join scopes_of b on b.id = o.id
 where (s.user_id, s.bot_user_id, s.encrypted_bot_access_token, s.encrypted_bot_access_token_iv, s.updated_at, a.scopes)
       is distinct from (o.user_id, o.bot_user_id, o.encrypted_bot_access_token, o.encrypted_bot_access_token_iv, o.updated_at, b.scopes);";

/// Projects 1 to 9 of group 1, project 10 in its own organization; teams A with four rows and B with two legacy ones.
pub(crate) const ROWS: &str = "
insert into organizations (id, name, path) values (2, 'Other', 'other');
insert into namespaces (id, name, path, type, traversal_ids, organization_id) values (2, 'other', 'other', 'Group', '{2}', 2);
insert into projects (id, path, namespace_id) select n, 'p' || n, case when n < 10 then 1 else 2 end from generate_series(1, 10) n;
insert into integrations (id, project_id, type_new, category, active)
  select n, n, 'Integrations::GitlabSlackApplication', 'chat', true from generate_series(1, 10) n;
select setval('integrations_id_seq', 100);
insert into slack_integrations (id, team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id)
  select n, 'A', 'Team A', 'a' || n, 'U1', 'B1', 'token', 'iv', '2020-01-01', '2020-01-01', n from generate_series(1, 4) n;
insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
  select n, 'B', 'Team B', 'b' || n, 'U2', '2020-01-01', '2020-01-01', n from generate_series(5, 6) n;
select setval('slack_integrations_id_seq', 100);";

/// Each row's user has installed it with a ticket.
pub(crate) const MANAGERS: &str =
    "insert into lockstep_internal.slack_manager (schema, integration_id, team_id, user_id)
  select 'public', integration_id, team_id, user_id from slack_integrations";

/// A database with those rows, attached.
pub(crate) fn workspaces(name: &str, layout: Layout) -> Result<Client> {
    let mut client = with_slack(name, layout)?;
    client
        .batch_execute("select * from lockstep.attach(); select * from lockstep.attach_slack()")?;
    client.batch_execute(ROWS)?;
    client.batch_execute(ORACLE)?;
    let scope = match layout {
        Layout::Older => {
            "insert into slack_api_scopes (id, name) values (1, 'commands'), (2, 'chat:write'), (3, 'links:read');
             insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id) select 1, s from generate_series(1, 2) s;"
        }
        _ => {
            "insert into slack_api_scopes (id, name, organization_id) values (1, 'commands', 1), (2, 'chat:write', 1), (3, 'links:read', 1);
             insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id) select 1, s, 1 from generate_series(1, 2) s;"
        }
    };
    client.batch_execute(scope)?;
    client.batch_execute(MANAGERS)?;
    client.batch_execute("select setval('slack_api_scopes_id_seq', 100)")?;
    in_lockstep(&mut client)?;
    Ok(client)
}

/// Checks that no row differs, by the oracle and by the function.
pub(crate) fn in_lockstep(client: &mut Client) -> Result<()> {
    let wrong = number(client, "select count(*) from wrong")?;
    ensure!(wrong == 0, "{wrong} rows differ");
    let drift = number(
        client,
        "select count(*) from lockstep.slack_workspace_drift()",
    )?;
    ensure!(drift == 0, "{drift} rows have drifted");
    Ok(())
}

fn text(client: &mut Client, query: &str) -> Result<String> {
    let row = client.query_one(query, &[]).context(query.to_owned())?;
    Ok(row.get(0))
}

/// A team's values as text.
pub(crate) fn state(client: &mut Client, team: &str) -> Result<String> {
    text(
        client,
        &format!(
            "select coalesce(string_agg(distinct concat_ws(' ', s.user_id, s.bot_user_id, encode(s.encrypted_bot_access_token, 'escape'),
                                                           encode(s.encrypted_bot_access_token_iv, 'escape'), s.updated_at, o.scopes), '; '), '')
               from slack_integrations s join scopes_of o using (id) where s.team_id = '{team}'"
        ),
    )
}

/// A row that changes its team takes over that team's values, and leaves nothing behind; COPY; several teams in one statement.
#[test]
fn teams_are_kept_apart() -> Result<()> {
    let mut client = workspaces("slack_teams", Layout::Narrow)?;
    let of_a = state(&mut client, "A")?;
    // Team B has no token, so the new row is its best.
    client.batch_execute("update slack_integrations set team_id = 'B' where id = 4")?;
    assert_eq!(state(&mut client, "A")?, of_a);
    assert_eq!(state(&mut client, "B")?, of_a);
    in_lockstep(&mut client)?;
    client.batch_execute(
        "update slack_integrations set user_id = 'U' || team_id where id in (1, 5, 6)",
    )?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where user_id <> 'U' || team_id"
        )?,
        0
    );
    in_lockstep(&mut client)?;
    client.batch_execute(
        "create temporary table copied as select id + 20 as id, team_id, team_name, alias || '+' as alias, 'UC' as user_id, created_at, updated_at,
                                                  integration_id, 'copied'::bytea as encrypted_bot_access_token
           from slack_integrations where id in (1, 5)",
    )?;
    let mut rows = Vec::new();
    std::io::Read::read_to_end(&mut client.copy_out("copy copied to stdout")?, &mut rows)?;
    let mut copy = client.copy_in(
        "copy slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id, encrypted_bot_access_token) from stdin",
    )?;
    std::io::Write::write_all(&mut copy, &rows)?;
    copy.finish()?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from slack_integrations where encode(encrypted_bot_access_token, 'escape') = 'copied'"
        )?,
        8
    );
    in_lockstep(&mut client)?;
    client.batch_execute("truncate slack_integrations cascade")?;
    in_lockstep(&mut client)
}

/// What is rolled back is not copied to other rows: by a savepoint, a failing statement, or an exception block in a trigger.
#[test]
fn undone_writes_are_not_spread() -> Result<()> {
    let mut client = workspaces("slack_savepoints", Layout::Narrow)?;
    let before = state(&mut client, "A")?;
    client.batch_execute(
        "begin; savepoint one; update slack_integrations set user_id = 'UX' where id = 1; rollback to one;
         update slack_integrations set alias = 'a11' where id = 1; commit",
    )?;
    assert_eq!(state(&mut client, "A")?, before);
    client.batch_execute(
        "create function fail_late() returns trigger language plpgsql as $$
         begin if new.user_id = 'UFAIL' then raise exception 'late'; end if; return null; end $$;
         create trigger z_fail after update on slack_integrations for each row execute function fail_late()",
    )?;
    // The row is noted, then the statement fails; the next statement of the transaction must not flush it.
    error_of(
        &mut client,
        "update slack_integrations set user_id = 'UFAIL' where id = 1",
    )?;
    client.batch_execute(
        "begin; savepoint one;
         do $$ begin update slack_integrations set user_id = 'UFAIL' where id = 1; exception when others then null; end $$;
         insert into slack_integrations (team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values ('A', 'Team A', 'after', 'U0', now(), now(), 9);
         release one; commit",
    )?;
    assert_eq!(state(&mut client, "A")?, before);
    in_lockstep(&mut client)?;
    // Released savepoints keep theirs.
    client.batch_execute(
        "begin; savepoint one; savepoint two; update slack_integrations set user_id = 'UR' where id = 2; release two; rollback to one;
         savepoint two; update slack_integrations set bot_user_id = 'BR' where id = 2; release two; commit",
    )?;
    assert!(state(&mut client, "A")?.starts_with("U1 BR token"));
    in_lockstep(&mut client)
}

/// Application triggers: one sets a column the statement does not name, one writes another row of the team, one writes in
/// response to the copied values.
#[test]
fn host_triggers_write_along() -> Result<()> {
    let mut client = workspaces("slack_host_triggers", Layout::Narrow)?;
    client.batch_execute(
        "create function touch() returns trigger language plpgsql as $$
         begin if new.alias <> old.alias then new.updated_at := '2030-01-01'; end if; return new; end $$;
         create trigger touch before update on slack_integrations for each row execute function touch();
         update slack_integrations set alias = 'touched' where id = 2",
    )?;
    assert!(state(&mut client, "A")?.contains("2030-01-01"));
    in_lockstep(&mut client)?;
    client.batch_execute(
        "create function other() returns trigger language plpgsql as $$
         begin if new.id = 3 and new.user_id = 'UT' and pg_trigger_depth() = 1 then
           update slack_integrations set bot_user_id = 'BT' where id = 1; end if; return null; end $$;
         create trigger other after update on slack_integrations for each row execute function other();
         update slack_integrations set user_id = 'UT' where id = 3",
    )?;
    in_lockstep(&mut client)?;
    // An application log that records every write must not cause another round of copying.
    client.batch_execute(
        "create table log (n bigserial, id bigint);
         create function log() returns trigger language plpgsql as $$ begin insert into log (id) values (new.id); return null; end $$;
         create trigger log after update on slack_integrations for each row execute function log();
         update slack_integrations set user_id = 'UL' where id = 3",
    )?;
    assert_eq!(number(&mut client, "select count(*) from log")?, 4);
    in_lockstep(&mut client)
}

/// A prepared transaction keeps its lock and leaves nothing to the session's next transaction.
#[test]
fn prepared_transactions_are_spread() -> Result<()> {
    let mut client = workspaces("slack_prepared", Layout::Narrow)?;
    client.batch_execute(
        "begin; update slack_integrations set user_id = 'UP' where id = 1; prepare transaction 'slack_prepared'",
    )?;
    client
        .batch_execute("begin; insert into log_of_nothing default values")
        .ok();
    client.batch_execute("rollback")?;
    let mut other = cluster()?.connect("slack_prepared")?;
    let error = error_of(
        &mut other,
        "set lock_timeout = '100ms'; update slack_integrations set user_id = 'UQ' where id = 2",
    )?;
    assert_eq!(error.code().code(), "55P03");
    client.batch_execute("commit prepared 'slack_prepared'")?;
    assert!(state(&mut client, "A")?.starts_with("UP "));
    in_lockstep(&mut client)?;
    other.batch_execute("update slack_integrations set user_id = 'UQ' where id = 2")?;
    in_lockstep(&mut client)
}

/// A write that changes nothing writes no row.
#[test]
fn nothing_new_is_written() -> Result<()> {
    let mut client = workspaces("slack_nothing", Layout::Narrow)?;
    let versions = "select md5(string_agg(v, ',' order by v)) from (
        select 's' || s.ctid || s.xmin as v from slack_integrations s union all select 'l' || l.ctid || l.xmin from slack_integrations_scopes l
        union all select 'c' || c.ctid || c.xmin from slack_api_scopes c union all select 'i' || i.ctid || i.xmin from integrations i
        union all select 'n' || n.ctid || n.xmin from lockstep_internal.slack_installation n) v";
    let install = "select written from lockstep.install_slack_workspace('A', 'Team A', 'U2', 'B2', 'token 2', 'iv 2', '{commands,links:read}', project_id => 1)";
    assert_eq!(number(&mut client, install)?, 4);
    in_lockstep(&mut client)?;
    let before = text(&mut client, versions)?;
    assert_eq!(number(&mut client, install)?, 0);
    assert_eq!(text(&mut client, versions)?, before);
    // The application's mass update, of rows that a trigger has already synchronized.
    client.batch_execute("update slack_integrations set user_id = user_id where id = 1")?;
    let written = number(
        &mut client,
        "select count(*) from slack_integrations where xmin::text = pg_current_xact_id_if_assigned()::xid::text and id <> 1",
    )?;
    assert_eq!(written, 0);
    Ok(())
}

/// The triggers only work on two tables; elsewhere they raise an error.
#[test]
fn triggers_elsewhere_are_refused() -> Result<()> {
    let mut client = workspaces("slack_elsewhere", Layout::Narrow)?;
    client.batch_execute(
        "create table other (id bigint, team_id text);
         create trigger note after insert on other for each row execute function lockstep_internal.note_slack_row();
         create trigger lock_team before update on other for each row execute function lockstep_internal.lock_slack_team();
         create trigger lock_teams before delete on other for each statement execute function lockstep_internal.lock_slack_teams()",
    )?;
    for statement in ["insert into other values (1, 'A')", "delete from other"] {
        let error = error_of(&mut client, statement)?;
        assert_eq!(error.code().code(), "55000", "{error:?}");
    }
    // Row trigger functions in statement triggers, and the other way round.
    client.batch_execute(
        "create trigger wrong before insert on slack_integrations for each statement execute function lockstep_internal.lock_slack_team()",
    )?;
    let error = error_of(
        &mut client,
        "insert into slack_integrations select * from slack_integrations where false",
    )?;
    assert_eq!(error.code().code(), "55000", "{error:?}");
    Ok(())
}
