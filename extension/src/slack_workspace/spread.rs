//! Gives the rows of teams what the winning row of each has. The caller holds the teams' locks and has the rights of the tables'
//! owner.

use super::compare::compare;
use super::scopes::write_scopes;
use super::tables::Tables;
use super::writing::Writing;
use crate::statement::{View, keys_argument};
use std::collections::BTreeMap;

/// Writes what differs from the winners; answers how many rows of Slack integrations that were.
pub(super) fn spread(tables: &Tables, winners: &BTreeMap<String, i64>) -> u64 {
    if winners.is_empty() {
        return 0;
    }
    let _writing = Writing::begin(tables.slack.oid, winners.keys().cloned().collect());
    let ids: Vec<i64> = winners.values().copied().collect();
    let (rows, scopes) = compare(tables, &ids);
    let differing = rows
        .iter()
        .zip(&scopes)
        .filter(|(row, _)| row.differing != 0);
    let (ids, winners): (Vec<i64>, Vec<i64>) =
        differing.map(|(row, it)| (it.row, row.winner)).unzip();
    let mut written = 0;
    if !ids.is_empty() {
        let arguments = [keys_argument(&ids), keys_argument(&winners)];
        let write_rows = &tables.statements.write_rows;
        written = write_rows.run_seeing(View::Newest, &arguments);
    }
    write_scopes(tables, &scopes);
    written
}
