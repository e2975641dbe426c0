//! Shards, where Citus keeps the rows of a table: tables on other servers, named after the table and a number. Citus creates the
//! table's triggers on each shard, and again wherever the shard moves, but not those for TRUNCATE.

use crate::citus::{is_installed, knows_schemas, manages};
use crate::{Statement, View, connected, datum, with_catalog_path, with_settings};
use pgrx::pg_sys::{self, Datum, Oid};
use std::mem::ManuallyDrop;

/// Whether Citus distributes a schema as a whole, and with it what is created there.
pub fn distributes_schema(schema: &str) -> bool {
    if !knows_schemas() {
        return false;
    }
    let query = Statement::new(
        "select 'yes' from pg_dist_schema d join pg_namespace n on n.oid = d.schemaid where n.nspname = $1",
        &[pg_sys::TEXTOID],
    );
    with_catalog_path(|| connected(|| query.text(&[datum(schema)]))).is_some()
}

/// The numbers of the shards of two tables, if each has a single one, without copies, and they always lie on one server: tables of
/// a schema that Citus distributes.
pub fn shards_together(one: u32, other: u32) -> Option<[i64; 2]> {
    if !manages(one) || !manages(other) {
        return None;
    }
    let tables = [one, other].map(|table| datum(Oid::from(table)));
    let row =
        PAIR.with(|query| with_catalog_path(|| connected(|| query.first_row::<i64, 2>(&tables))))?;
    match row {
        [Some(one), Some(other)] => Some([one, other]),
        _ => None,
    }
}

thread_local! {
    // Never dropped, see `check_may`.
    // A session's first write to each tenant's tables asks for these.
    static PAIR: ManuallyDrop<Statement> = ManuallyDrop::new(Statement::new(
        "select s.shardid, o.shardid
           from pg_dist_partition d join pg_dist_partition e on e.colocationid = d.colocationid
           join pg_dist_shard s on s.logicalrelid = d.logicalrelid join pg_dist_shard o on o.logicalrelid = e.logicalrelid
          where d.logicalrelid = $1 and e.logicalrelid = $2 and d.colocationid <> 0
            and d.partmethod = 'n' and d.repmodel = 's' and e.partmethod = 'n' and e.repmodel = 's'",
        &[pg_sys::OIDOID; 2],
    ));
    static TABLE: ManuallyDrop<Statement> = ManuallyDrop::new(Statement::new(
        "select s.logicalrelid::oid::bigint from pg_dist_shard s where s.shardid = $1",
        &[pg_sys::INT8OID],
    ));
    // By the catalog, as whoever fires a trigger need not have the right to use the schema.
    static SHARD: ManuallyDrop<Statement> = ManuallyDrop::new(Statement::new(
        "select t.oid::bigint
           from pg_dist_shard s join pg_class c on c.oid = s.logicalrelid
           cross join parse_ident(shard_name(s.logicalrelid, s.shardid)) name
           join pg_class t on t.relnamespace = c.relnamespace and t.relname = name[cardinality(name)]
          where s.shardid = $1",
        &[pg_sys::INT8OID],
    ));
}

/// The table that a shard belongs to.
pub fn table_of(shard: i64) -> Option<u32> {
    TABLE.with(|query| found(query, shard))
}

/// The shard as a table of this server, if it lies here.
pub fn shard_of(shard: i64) -> Option<u32> {
    SHARD.with(|query| found(query, shard))
}

fn found(query: &Statement, shard: i64) -> Option<u32> {
    if !is_installed() {
        return None;
    }
    // Citus hides shards in queries on pg_class.
    let settings = [(c"citus.override_table_visibility", c"off")];
    let row = with_settings(&settings, || {
        with_catalog_path(|| connected(|| query.first_row::<i64, 1>(&[datum(shard)])))
    });
    row.and_then(|[oid]| u32::try_from(oid?).ok())
}

/// What an expression gives on the server where the only shard of a table lies, in the transaction of the caller. The text of
/// both is qualified, and quoted where necessary.
pub fn on_server_of(
    table: &str,
    expression: &str,
    parameters: &[Oid],
    arguments: &[Datum],
) -> Option<String> {
    // Citus sends the whole query to the server of the one shard that it needs.
    let query = Statement::planned_anew(
        &format!(
            "select {expression} from (select from {table} limit 0) of_table right join (select 1) of_server on true"
        ),
        parameters,
    );
    let mut answer = None;
    with_catalog_path(|| {
        connected(|| query.rows(View::Own, arguments, |row| answer = row.get::<String>(1)))
    });
    answer
}

/// Runs a change of a table's triggers, which Citus has to be told to carry to the shards.
pub(crate) fn allowing_triggers<R>(change: impl FnOnce() -> R) -> R {
    match is_installed() {
        true => with_settings(&[(c"citus.enable_unsafe_triggers", c"on")], change),
        false => change(),
    }
}
