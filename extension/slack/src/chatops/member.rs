//! Whether a Slack user is a member of a GitLab group.

use super::table::{self, CHAT_NAMES, MEMBERS, NAMESPACES, USERS};
use super::target;
use crate::account::{Accounts, GUEST, Place};
use crate::error::{ChatopsError, OrRaise, Result, required};
use pgrx::prelude::*;

/// Whether the account linked to a Slack user is a member of a group or one of its ancestors.
#[pg_extern(sql = r#"
create function lockstep_api.is_chatops_member(team_id text, user_id text, "group" text, schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.is_chatops_member(text, text, text, text) is
  'whether a Slack user has linked an active GitLab account that is a member of a group, given by its path, or of one of its ancestors';
revoke execute on function lockstep_api.is_chatops_member(text, text, text, text) from public;
"#)]
fn is_chatops_member(
    team_id: Option<&str>,
    user_id: Option<&str>,
    group: Option<&str>,
    schema: Option<&str>,
) -> bool {
    let team_id = required(team_id, "team_id");
    let user_id = required(user_id, "user_id");
    let group = required(group, "group");
    let schema = required(schema, "schema");
    is_member(team_id, user_id, group, schema).or_raise()
}

fn is_member(team: &str, user: &str, group: &str, schema: &str) -> Result<bool> {
    let names = table::find(&CHAT_NAMES, schema)?;
    let members = table::find(&MEMBERS, schema)?;
    let namespaces = table::find(&NAMESPACES, schema)?;
    let found =
        target::namespace(group, schema)?.ok_or_else(|| ChatopsError::no_such("group", group))?;
    let users = table::find(&USERS, schema)?;
    let place = Place {
        key: found.id,
        namespace: found.id,
        project: None,
    };
    let accounts = Accounts::new(names, users, members, namespaces)?;
    Ok(!accounts.with_role(team, user, &[place], GUEST).is_empty())
}
