//! Gives the rows of teams what the winning row of each has. The caller holds the teams' locks and has the rights of the tables'
//! owner.

use super::statements::Links;
use super::tables::Tables;
use super::writing::Writing;
use crate::statement::{View, keys_argument};
use pgrx::pg_sys::Datum;
use std::collections::BTreeMap;

/// Writes what differs from the winners; answers how many rows of Slack integrations that were.
pub(super) fn spread(tables: &Tables, winners: &BTreeMap<String, i64>) -> u64 {
    if winners.is_empty() {
        return 0;
    }
    let _writing = Writing::begin(tables.slack.oid, winners.keys().cloned().collect());
    let ids: Vec<i64> = winners.values().copied().collect();
    let arguments = [keys_argument(&ids)];
    let statements = &tables.statements;
    let written = statements.write_rows.run_seeing(View::Newest, &arguments);
    write_links(&statements.links, &arguments);
    written
}

/// Brings links in lockstep with the scopes that their rows are to have; answers how many came or went.
pub(super) fn write_links(links: &Links, arguments: &[Datum]) -> u64 {
    let created = links.create_scopes.run_seeing(View::Newest, arguments);
    let deleted = links.delete.run_seeing(View::Newest, arguments);
    let inserted = links.insert.run_seeing(View::Newest, arguments);
    created + deleted + inserted
}
