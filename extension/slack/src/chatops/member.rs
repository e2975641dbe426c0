//! Whether a user of Slack is a member of a group of the host.

use super::table::{self, CHAT_NAMES, MEMBERS, NAMESPACES, USERS};
use super::target;
use crate::error::{ChatopsError, OrRaise, Result, required};
use lockstep_server::host::{Relation, check_have_one_owner, qualified};
use lockstep_server::{Statement, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Whether the account that a user of Slack has linked is a member of a group, or of one above it.
#[pg_extern(sql = r#"
create function lockstep.is_chatops_member(team_id text, user_id text, "group" text, schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.is_chatops_member(text, text, text, text) is
  'whether a user of Slack has linked an active account of the host that is a member of a group, given by its path, or of one above it';
revoke execute on function lockstep.is_chatops_member(text, text, text, text) from public;
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
    check_have_one_owner(&[&members, &names, &namespaces, &users])?;
    let conditions = conditions(&members, &users);
    let text = format!(
        "with recursive above (id, parent_id) as (
           select n.id::pg_catalog.int8, n.parent_id::pg_catalog.int8 from {n} n where n.id == $3
           union
           select n.id::pg_catalog.int8, n.parent_id::pg_catalog.int8 from {n} n join above a on n.id == a.parent_id)
         select true from {c} c
           join {u} u on u.id == c.user_id
           join {m} m on m.user_id == c.user_id
           join above a on a.id == m.source_id
          where c.team_id::pg_catalog.text == $1 and c.chat_id::pg_catalog.text == $2 and {conditions}
          limit 1",
        n = namespaces.qualified_name(),
        c = names.qualified_name(),
        m = members.qualified_name(),
        u = users.qualified_name(),
    );
    let query = Statement::new(
        &qualified(&text),
        &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID],
    );
    let mut is_member = false;
    let arguments = [datum(team), datum(user), datum(found.id)];
    table::read(&members, &query, &arguments, |row| {
        is_member = row.get(1).unwrap_or_default();
    });
    Ok(is_member)
}

/// What makes a member one who may do something. Not every host has all the columns that tell so.
fn conditions(members: &Relation, users: &Relation) -> String {
    // Guests and above; who only has minimal access has none.
    let mut conditions = vec![
        "m.source_type::pg_catalog.text == 'Namespace'",
        "m.access_level operator(pg_catalog.>=) 10",
    ];
    let optional = [
        // Blocked, banned and deactivated accounts, and those that nobody has approved as yet, are in other states.
        (users, "state", "u.state::pg_catalog.text == 'active'"),
        // Who waits for a seat, or to be let in.
        (members, "state", "m.state == 0"),
        (members, "requested_at", "m.requested_at is null"),
        (
            members,
            "expires_at",
            "(m.expires_at is null or m.expires_at::pg_catalog.date operator(pg_catalog.>)
              pg_catalog.timezone('utc', pg_catalog.clock_timestamp())::pg_catalog.date)",
        ),
    ];
    let there = |(table, column, _): &(&Relation, &str, &str)| table.find_column(column).is_some();
    conditions.extend(optional.into_iter().filter(there).map(|(.., it)| it));
    conditions.join(" and ")
}
