//! The OAuth flow of an installation: started with a state that only one browser knows, taken once when Slack redirects back, and
//! finished with Slack's response.

use super::install::{install, scope_names};
use crate::error::{OrRaise, Result, SlackError, check_positive, required};
use crate::slack_workspace::host::{Owner, Tables, is_known};
use crate::slack_workspace::identical::Installation;
use crate::slack_workspace::job::enqueue;
use crate::slack_workspace::manager;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, nullable};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

struct Own {
    ticket: OwnStatement,
    begin: OwnStatement,
    look: OwnStatement,
    take: OwnStatement,
    begun: OwnStatement,
    finish: OwnStatement,
    use_up: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        ticket: OwnStatement::new(
            "select t.project_id, t.group_id, t.organization_id from lockstep_internal.slack_install_ticket t
              where t.token_digest = sha256(convert_to($1, 'UTF8')) and t.schema = $2 and t.used_at is null and t.expires_at > clock_timestamp()",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
        ),
        begin: OwnStatement::new(
            "insert into lockstep_internal.slack_install_state (state_digest, browser_digest, schema, ticket, expires_at)
             values (sha256($1), sha256($2), $3, sha256(convert_to($4, 'UTF8')), clock_timestamp() + $5)
             on conflict (state_digest) do nothing",
            &[
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INTERVALOID,
            ],
        ),
        begun: OwnStatement::new(
            "select from lockstep_internal.slack_install_state s
              where s.state_digest = sha256($1) and s.browser_digest = sha256($2) and s.schema = $3
                and s.ticket is not distinct from sha256(convert_to($4, 'UTF8')) and s.taken_at is null",
            &[
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        look: OwnStatement::new(
            "select case when s.taken_at is not null then 'unknown'
                         when s.browser_digest <> sha256($2) then 'other_browser'
                         when s.expires_at <= clock_timestamp() then 'expired'
                         else 'ok' end
               from lockstep_internal.slack_install_state s where s.state_digest = sha256($1) and s.schema = $3 for update",
            &[pg_sys::BYTEAOID, pg_sys::BYTEAOID, pg_sys::TEXTOID],
        ),
        take: OwnStatement::new(
            "update lockstep_internal.slack_install_state set taken_at = clock_timestamp() where state_digest = sha256($1)",
            &[pg_sys::BYTEAOID],
        ),
        finish: OwnStatement::new(
            "delete from lockstep_internal.slack_install_state s
              where s.state_digest = sha256($1) and s.schema = $2 and s.taken_at is not null
             returning s.ticket",
            &[pg_sys::BYTEAOID, pg_sys::TEXTOID],
        ),
        use_up: OwnStatement::new(
            "update lockstep_internal.slack_install_ticket t set used_at = clock_timestamp()
              where t.token_digest = $1 and t.used_at is null
             returning t.project_id, t.group_id, t.organization_id, t.alias",
            &[pg_sys::BYTEAOID],
        ),
    };
}

/// Starts an installation.
#[pg_extern(sql = r#"
create function lockstep_api.begin_slack_install(state bytea, browser bytea, ticket text default null, valid_for interval default '10 minutes',
  schema text default 'public')
returns table (owner text, workspace text) language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.begin_slack_install(bytea, bytea, text, interval, text) is
  'begins the installation of a Slack workspace; returns the full path of the owner that the ticket was issued for, if there is one, and the name of the workspace that it is connected to by now';
revoke execute on function lockstep_api.begin_slack_install(bytea, bytea, text, interval, text) from public;
"#)]
fn begin_slack_install(
    state: Option<&[u8]>,
    browser: Option<&[u8]>,
    ticket: Option<&str>,
    valid_for: Option<Interval>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(owner, Option<String>),
        name!(workspace, Option<String>),
    ),
> {
    let state = required(state, "state");
    let browser = required(browser, "browser");
    let valid_for = required(valid_for, "valid_for");
    let schema = required(schema, "schema");
    let begun = begin((state, browser), ticket, valid_for, schema);
    TableIterator::once(begun.or_raise())
}

fn begin(
    (state, browser): (&[u8], &[u8]),
    ticket: Option<&str>,
    valid_for: Interval,
    schema: &str,
) -> Result<(Option<String>, Option<String>)> {
    for (name, value) in [("state", state), ("browser", browser)] {
        if value.is_empty() {
            return Err(SlackError::Empty { name }.into());
        }
    }
    check_positive(&valid_for, "valid_for")?;
    let tables = Tables::attached(schema)?;
    let found = match ticket {
        Some(ticket) => {
            let owner = owner_of(ticket, schema)?;
            let workspace = owner.workspace(&tables);
            (Some(owner.path(&tables)?), workspace.map(|(_, name)| name))
        }
        None => (None, None),
    };
    let arguments = [
        Some(datum(state)),
        Some(datum(browser)),
        Some(datum(schema)),
        nullable(ticket),
        Some(datum(valid_for)),
    ];
    // The same call again, as after a lost connection, finds what the first one stored.
    STATEMENTS.with(|statements| {
        let is_new = statements.begin.run_with_nulls(&arguments)? > 0;
        if is_new || statements.begun.run_with_nulls(&arguments[..4])? > 0 {
            return Ok(found);
        }
        Err(SlackError::StateInUse.into())
    })
}

fn owner_of(ticket: &str, schema: &str) -> Result<Owner> {
    let mut owner = Ok(None);
    STATEMENTS.with(|statements| {
        let arguments = [datum(ticket), datum(schema)];
        statements.ticket.rows(&arguments, |row| {
            owner = Owner::of(row.get(1), row.get(2), row.get(3));
        })
    })?;
    owner?.ok_or_else(|| SlackError::Ticket.into())
}

/// Slack has redirected the browser back.
#[pg_extern(sql = r#"
create function lockstep_api.take_slack_install(state bytea, browser bytea, schema text default 'public')
returns text language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.take_slack_install(bytea, bytea, text) is
  'ok, once, for a state and the browser that began with it; else unknown, expired or other_browser';
revoke execute on function lockstep_api.take_slack_install(bytea, bytea, text) from public;
"#)]
fn take_slack_install(
    state: Option<&[u8]>,
    browser: Option<&[u8]>,
    schema: Option<&str>,
) -> String {
    let state = required(state, "state");
    let browser = required(browser, "browser");
    let schema = required(schema, "schema");
    take(state, browser, schema).or_raise()
}

fn take(state: &[u8], browser: &[u8], schema: &str) -> Result<String> {
    Tables::attached(schema)?;
    let arguments = [datum(state), datum(browser), datum(schema)];
    let mut answer = None;
    STATEMENTS.with(|statements| {
        statements
            .look
            .rows(&arguments, |row| answer = row.get::<String>(1))?;
        if answer.as_deref() == Some("ok") {
            statements.take.run(&arguments[..1])?;
        }
        Ok(answer.unwrap_or_else(|| "unknown".to_owned()))
    })
}

/// Slack has responded with a token.
#[pg_extern(sql = r#"
create function lockstep_api.finish_slack_install(state bytea, team_id text, team_name text, user_id text, bot_user_id text, token bytea, token_iv bytea,
  scopes text[], enterprise_id text, app_id text, refresh_token bytea, refresh_token_iv bytea, expires_at timestamptz,
  may_be_new boolean default true, schema text default 'public')
returns table (slack_integration_id bigint, alias text, written bigint, replaced text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.finish_slack_install(bytea, text, text, text, text, bytea, bytea, text[], text, text, bytea, bytea, timestamptz, boolean, text) is
  'installs the workspace for the owner of the installation''s ticket, if there is one; state and ticket are used up. Without a ticket, a workspace that has no installation is refused unless may_be_new. Jobs tell the managers of its integrations about a renewal. replaced is the name of the workspace that is no longer notified, if there is one';
revoke execute on function lockstep_api.finish_slack_install(bytea, text, text, text, text, bytea, bytea, text[], text, text, bytea, bytea, timestamptz,
                                                         boolean, text) from public;
"#)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)]
fn finish_slack_install(
    state: Option<&[u8]>,
    team_id: Option<&str>,
    team_name: Option<&str>,
    user_id: Option<&str>,
    bot_user_id: Option<&str>,
    token: Option<&[u8]>,
    token_iv: Option<&[u8]>,
    scopes: Option<Vec<Option<String>>>,
    enterprise_id: Option<&str>,
    app_id: Option<&str>,
    refresh_token: Option<&[u8]>,
    refresh_token_iv: Option<&[u8]>,
    expires_at: Option<TimestampWithTimeZone>,
    may_be_new: Option<bool>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(slack_integration_id, Option<i64>),
        name!(alias, Option<String>),
        name!(written, i64),
        name!(replaced, Option<String>),
    ),
> {
    let state = required(state, "state");
    let installation = Installation {
        team_id: required(team_id, "team_id"),
        team_name: required(team_name, "team_name"),
        user_id: required(user_id, "user_id"),
        bot_user_id: required(bot_user_id, "bot_user_id"),
        token: required(token, "token"),
        token_iv: required(token_iv, "token_iv"),
        scopes: scope_names(required(scopes, "scopes")),
        enterprise_id,
        app_id,
        refresh_token,
        refresh_token_iv,
        expires_at,
    };
    let schema = required(schema, "schema");
    let may_be_new = required(may_be_new, "may_be_new");
    let finished = || -> Result<Finished> {
        let tables = Tables::attached(schema)?;
        let was_known = is_known(&tables, installation.team_id)?;
        let finished = finish(&tables, state, &installation, was_known || may_be_new)?;
        if was_known {
            tell_managers(&tables, &installation)?;
        }
        Ok(finished)
    };
    TableIterator::once(finished().or_raise())
}

/// Row, alias, number of rows written, and the workspace that is no longer notified.
type Finished = (Option<i64>, Option<String>, i64, Option<String>);

const NOTICE: &str = "Slack::InstallationNoticeWorker";

/// The most people that are notified.
const MOST_TOLD: usize = 50;

/// One job per person, so that a failed one repeats no other.
fn tell_managers(tables: &Tables, installation: &Installation) -> Result<()> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH);
    let at = at.unwrap_or_default().as_secs();
    let installer = installation.user_id;
    // The installer may be one of them.
    let managers = manager::managers_of(tables, installation.team_id, MOST_TOLD + 1)?;
    let others = managers.iter().filter(|user| *user != installer);
    for user in others.take(MOST_TOLD) {
        let args = json!({
            "team_id": installation.team_id, "enterprise_id": installation.enterprise_id, "user_id": user,
            "installer": installer, "at": at,
        });
        enqueue(NOTICE, &args, None)?;
    }
    Ok(())
}

fn finish(
    tables: &Tables,
    state: &[u8],
    installation: &Installation,
    may_be_without: bool,
) -> Result<Finished> {
    let schema = tables.schema.as_str();
    let mut ticket: Option<Option<Vec<u8>>> = None;
    STATEMENTS.with(|statements| {
        let arguments = [datum(state), datum(schema)];
        statements
            .finish
            .rows(&arguments, |row| ticket = Some(row.get(1)))
    })?;
    let Some(ticket) = ticket else {
        return Err(SlackError::StateNotTaken.into());
    };
    let Some(ticket) = ticket else {
        if !may_be_without {
            let team = installation.team_id.chars().take(50).collect();
            return Err(SlackError::UnknownWorkspace { team }.into());
        }
        let (row, alias, written) = install(installation, None, None, schema)?;
        return Ok((row, alias, written, None));
    };
    let mut owner = Ok(None);
    let mut alias: Option<String> = None;
    STATEMENTS.with(|statements| {
        statements.use_up.rows(&[datum(ticket)], |row| {
            owner = Owner::of(row.get(1), row.get(2), row.get(3));
            alias = row.get(4);
        })
    })?;
    // Two installations may have started with one ticket; the first to finish uses it up.
    let owner = owner?.ok_or(SlackError::StateNotTaken)?;
    let before = owner.workspace(tables);
    let (row, alias, written) = install(installation, Some(owner), alias.as_deref(), schema)?;
    let replaced = before.filter(|(team, _)| team != installation.team_id);
    Ok((row, alias, written, replaced.map(|(_, name)| name)))
}
