//! Integrations that inherit from another one: the application copies saved values to them, so switching does the same.

use crate::slack_workspace::host::Tables;
use lockstep_server::host::qualified;
use lockstep_server::{Statement, datum};
use pgrx::pg_sys;

/// Writes to integration `$1` and all its descendants, called `i` in the statement, if the condition is true for them. Returns
/// how many were written.
pub(crate) fn write_with_heirs(
    tables: &Tables,
    integration: i64,
    assignments: &str,
    condition: &str,
) -> u64 {
    let table = tables.integrations.qualified_name();
    let inheriting = match tables.integrations.find_column("inherit_from_id") {
        Some(column) => format!(
            "union select h.id::pg_catalog.int8 from {table} h join heir p on h.{} == p.id",
            column.quoted()
        ),
        None => String::new(),
    };
    // Locked in a fixed order, so that two sessions that switch the same ones do not deadlock.
    let update = Statement::new(
        &qualified(&format!(
            "with recursive heir (id) as (select $1 {inheriting}),
             locked (id) as (
               select l.id from {table} l where l.id == any (array(select h.id from heir h)) order by l.id for no key update)
             update {table} i set {assignments} where i.id == any (array(select l.id from locked l)) and ({condition})"
        )),
        &[pg_sys::INT8OID],
    );
    tables.on_host(|| update.run(&[datum(integration)]))
}
