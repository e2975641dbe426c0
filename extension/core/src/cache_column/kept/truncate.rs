//! TRUNCATE of a source or of a partition of it: no row trigger fires, so all target rows that are true are checked again.

use super::walk::look_at_all;
use crate::cache_column::defined::Definition;
use crate::error::{HostError, OrRaise, Result, ServerError};
use lockstep_server::host::Relation;
use pgrx::prelude::*;

/// AFTER TRUNCATE of a source.
#[pg_trigger(sql = "
create function lockstep_internal.flush_truncated() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.flush_truncated() is 'statement trigger: after a source was truncated, looks at all targets';")]
fn flush_truncated<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let table = trigger.relid().map_err(ServerError::catalog).or_raise();
    look_at_targets_of(table.to_u32()).or_raise();
    Ok(None)
}

fn look_at_targets_of(table: u32) -> Result<()> {
    for ancestor in Relation::describe(table)?.ancestors {
        for definition in Definition::of_table(ancestor)? {
            if definition.source != ancestor {
                continue;
            }
            match look_at_all(definition.id) {
                // This table exists, so the target is gone.
                Err(error) if matches!(error.topic(), Some(HostError::NoSuchTable { .. })) => {}
                looked => looked?,
            }
        }
    }
    Ok(())
}
