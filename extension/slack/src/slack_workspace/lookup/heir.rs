//! Integrations that inherit from another one: the application copies saved values to them, so switching does the same.

use crate::slack_workspace::host::Tables;
use lockstep_server::host::qualified;
use lockstep_server::{Statement, View, datum};
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
    let heirs = heirs(tables);
    // Locked in a fixed order, so that two sessions that switch the same ones do not deadlock.
    let update = Statement::new(
        &qualified(&format!(
            "{heirs},
             locked (id) as (
               select l.id from {table} l where l.id == any (array(select h.id from heir h)) order by l.id for no key update)
             update {table} i set {assignments} where i.id == any (array(select l.id from locked l)) and ({condition})"
        )),
        &[pg_sys::INT8OID],
    );
    tables.as_owner(|| update.run(&[datum(integration)]))
}

/// Whether a column is true for an integration or one of its descendants.
pub(crate) fn is_true_with_heirs(tables: &Tables, integration: i64, column: &str) -> bool {
    let table = tables.integrations.qualified_name();
    let query = Statement::new(
        &qualified(&format!(
            "{} select '' from heir h join {table} i on i.id == h.id where i.{column} limit 1",
            heirs(tables)
        )),
        &[pg_sys::INT8OID],
    );
    tables.as_owner(|| query.run_seeing(View::Newest, &[datum(integration)]) > 0)
}

/// The query `heir`: integration `$1` and all its descendants.
fn heirs(tables: &Tables) -> String {
    let inheriting = match tables.integrations.find_column("inherit_from_id") {
        Some(column) => format!(
            "union select h.id::pg_catalog.int8 from {} h join heir p on h.{} == p.id",
            tables.integrations.qualified_name(),
            column.quoted()
        ),
        None => String::new(),
    };
    format!("with recursive heir (id) as (select $1 {inheriting})")
}
