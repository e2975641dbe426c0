//! The triggers on shards, which Citus creates on other servers. Asked there, in the caller's transaction.

use crate::cache_column::defined::{Resolved, Trigger};
use crate::error::{CacheColumnError, OrRaise, Result, ServerError, required};
use lockstep_server::host::Relation;
use lockstep_server::{
    are_ourselves, as_owner, attempt_catching, datum, on_server_of, shard_of, shards_together,
};
use pgrx::PgSqlErrorCode::{self, *};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

/// The triggers of ours that fire on these shards, with functions and arguments, as far as the shards are on this server.
#[pg_extern(sql = r#"
create function lockstep_internal.triggers_on_shards(shards bigint[])
returns text[] stable language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.triggers_on_shards(bigint[]) is
  'part of lockstep.cache_columns on Citus: the triggers of lockstep on shards of this server';
"#)]
fn triggers_on_shards(shards: Option<Vec<Option<i64>>>) -> Vec<String> {
    let shards = required(shards, "shards");
    triggers_on(shards.into_iter().flatten()).or_raise()
}

fn triggers_on(shards: impl Iterator<Item = i64>) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for table in shards.filter_map(shard_of) {
        let triggers = Relation::describe(table)?.triggers().to_vec();
        let firing = triggers.into_iter().filter(|it| it.fires);
        found.extend(firing.filter_map(|it| Some(shown(&it.name, &it.function?, &it.arguments))));
    }
    Ok(found)
}

fn shown(name: &str, function: &str, arguments: &[String]) -> String {
    format!("{name} {function}({})", arguments.join(","))
}

/// Whether an error means that a server is not there, or lacks the extension.
fn is_silence(code: PgSqlErrorCode) -> bool {
    matches!(
        code,
        ERRCODE_CONNECTION_EXCEPTION
            | ERRCODE_CONNECTION_DOES_NOT_EXIST
            | ERRCODE_CONNECTION_FAILURE
            | ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION
            | ERRCODE_SQLSERVER_REJECTED_ESTABLISHMENT_OF_SQLCONNECTION
            | ERRCODE_UNDEFINED_FUNCTION
            | ERRCODE_INVALID_SCHEMA_NAME
    )
}

/// The triggers on the shards of a definition's tables.
pub(super) struct OnShards {
    /// The tables, each with the number of its shard.
    shards: [(u32, i64); 2],
    triggers: Vec<String>,
}

impl OnShards {
    /// None if Citus does not distribute the tables, and for the reports: they are asked often, as our own role, and must not wait, as
    /// a query on the tables does while somebody has locked them.
    pub(super) fn of(resolved: &Resolved) -> Result<Option<Self>> {
        let (target, source) = (&resolved.target, &resolved.source);
        if are_ourselves() {
            return Ok(None);
        }
        let Some([first, second]) = shards_together(target.oid, source.oid) else {
            return Ok(None);
        };
        let ask = || {
            as_owner(&target.rights(), || {
                on_server_of(
                    &target.qualified_name(),
                    "pg_catalog.array_to_json(lockstep_internal.triggers_on_shards($1))::pg_catalog.text",
                    &[pg_sys::INT8ARRAYOID],
                    &[datum(vec![first, second])],
                )
            })
        };
        match attempt_catching(is_silence, AssertUnwindSafe(ask)) {
            Ok(found) => Ok(Some(Self {
                shards: [(target.oid, first), (source.oid, second)],
                triggers: serde_json::from_str(&found.unwrap_or_default())
                    .map_err(ServerError::catalog)?,
            })),
            Err(failure) => Err(CacheColumnError::ShardsNotSeen {
                table: target.qualified_name(),
                // The lines after the first one are hints.
                message: failure
                    .message
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            }
            .into()),
        }
    }

    /// Whether the shard of a trigger's table has it. Citus creates none for TRUNCATE there.
    pub(super) fn has(&self, trigger: &Trigger) -> bool {
        let shard = self
            .shards
            .iter()
            .find(|(table, _)| *table == trigger.table.oid);
        let shown = shard.map(|(_, shard)| {
            let name = format!("{}_{shard}", trigger.name);
            shown(&name, trigger.function, &trigger.arguments)
        });
        trigger.is_for_truncate() || shown.is_some_and(|it| self.triggers.contains(&it))
    }
}
