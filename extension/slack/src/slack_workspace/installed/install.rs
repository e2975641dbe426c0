//! Installing a workspace: the installation is recorded, the owner's integration gets a row, and all rows of the team get the
//! values in Slack's response ([`mod@super::write`]).

use super::write::{Installed, Write, check_alias};
use crate::error::{OrRaise, Result, SlackError, required};
use crate::slack_workspace::host::{Owner, Tables};
use crate::slack_workspace::identical::Installation;
use crate::slack_workspace::manager;
use pgrx::prelude::*;

/// Records the installation of a workspace, for one owner if given.
#[pg_extern(sql = r#"
create function lockstep.install_slack_workspace(team_id text, team_name text, user_id text, bot_user_id text, token bytea, token_iv bytea,
  scopes text[], project_id bigint default null, group_id bigint default null, organization_id bigint default null, alias text default null,
  enterprise_id text default null, app_id text default null, refresh_token bytea default null, refresh_token_iv bytea default null,
  expires_at timestamptz default null, schema text default 'public')
returns table (slack_integration_id bigint, alias text, written bigint)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.install_slack_workspace(text, text, text, text, bytea, bytea, text[], bigint, bigint, bigint, text, text, text, bytea,
                                                     bytea, timestamptz, text) is
  'records the installation of a Slack workspace and updates all its rows; with an owner, finds or creates its integration and its row';
revoke execute on function lockstep.install_slack_workspace(text, text, text, text, bytea, bytea, text[], bigint, bigint, bigint, text, text, text,
                                                            bytea, bytea, timestamptz, text) from public;
grant execute on function lockstep.install_slack_workspace(text, text, text, text, bytea, bytea, text[], bigint, bigint, bigint, text, text, text,
                                                            bytea, bytea, timestamptz, text) to lockstep_admin;
"#)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)]
fn install_slack_workspace(
    team_id: Option<&str>,
    team_name: Option<&str>,
    user_id: Option<&str>,
    bot_user_id: Option<&str>,
    token: Option<&[u8]>,
    token_iv: Option<&[u8]>,
    scopes: Option<Vec<Option<String>>>,
    project_id: Option<i64>,
    group_id: Option<i64>,
    organization_id: Option<i64>,
    alias: Option<&str>,
    enterprise_id: Option<&str>,
    app_id: Option<&str>,
    refresh_token: Option<&[u8]>,
    refresh_token_iv: Option<&[u8]>,
    expires_at: Option<TimestampWithTimeZone>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(slack_integration_id, Option<i64>),
        name!(alias, Option<String>),
        name!(written, i64),
    ),
> {
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
    let installed = Owner::of(project_id, group_id, organization_id)
        .and_then(|owner| install(&installation, owner, alias, schema));
    TableIterator::once(installed.or_raise())
}

/// Scope names in alphabetical order, without duplicates.
pub(super) fn scope_names(names: Vec<Option<String>>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().flatten().collect();
    names.sort_unstable();
    names.dedup();
    names
}

pub(super) fn install(
    installation: &Installation,
    owner: Option<Owner>,
    alias: Option<&str>,
    schema: &str,
) -> Result<Installed> {
    alias.map_or(Ok(()), check_alias)?;
    if installation.team_id.is_empty() {
        return Err(SlackError::Empty { name: "team_id" }.into());
    }
    installation.check()?;
    let tables = Tables::attached(schema)?;
    // The integration is locked before the team: deleting an integration locks it before its Slack row.
    let owned = match owner {
        Some(owner) => Some((owner, owner.path(&tables)?, owner.integration(&tables)?)),
        None => None,
    };
    let write = Write {
        tables: &tables,
        installation,
    };
    write.lock(owned.as_ref().map(|(_, _, integration)| *integration));
    installation.record(schema)?;
    match owned {
        Some((owner, path, integration)) => {
            let installed = write.row_of(owner, &path, integration, alias)?;
            let Installation {
                team_id, user_id, ..
            } = installation;
            manager::add(schema, integration, team_id, user_id)?;
            Ok(installed)
        }
        None => Ok((None, None, write.rows_there_are())),
    }
}
