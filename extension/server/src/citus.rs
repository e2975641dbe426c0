//! Where the Citus extension is: which tables it distributes, and whether this server is one of its workers. A database without
//! Citus pays for looking up a name that it does not have.

use crate::catalog::{Catalog, only_row};
use crate::error::{HostError, Result};

fn distributed() -> Option<Catalog> {
    Catalog::added(
        c"pg_dist_partition",
        c"pg_dist_partition_logical_relid_index",
    )
}

/// Whether this database has Citus.
pub(crate) fn is_installed() -> bool {
    distributed().is_some()
}

/// Whether Citus keeps the rows of a table, in shards or as copies.
pub fn manages(table: u32) -> bool {
    distributed().is_some_and(|tables| !tables.rows(table, |_| Some(())).is_empty())
}

/// Whether it can distribute a schema as a whole, as Citus can since version 12.
pub(crate) fn knows_schemas() -> bool {
    Catalog::added(c"pg_dist_schema", c"pg_dist_schema_pkey").is_some()
}

/// Whether this server is a worker, which has the extension's tables as well, but empty: all that they hold is on the coordinator.
pub fn is_on_worker() -> bool {
    let group = only_row(c"pg_dist_local_group", |row| row.get::<i32>(c"groupid"));
    group.is_some_and(|group| group != 0)
}

/// What a worker finds in the extension's tables must not look like an answer.
pub(crate) fn check_is_not_on_worker() -> Result<()> {
    match is_on_worker() {
        true => Err(HostError::CitusWorker.into()),
        false => Ok(()),
    }
}
