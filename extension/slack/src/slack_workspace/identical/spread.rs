//! Copies the values of each team's winning row to its other rows. The caller holds the teams' locks and has the rights of the
//! tables' owner.

use super::compare::{Compared, Rows, compare};
use super::scopes::{Instead, ScopesOfRow, write_scopes};
use super::writing::Writing;
use crate::slack_workspace::host::Tables;
use lockstep_server::{View, keys_argument};
use std::collections::BTreeMap;

/// Each row is written by searching this many winners, which is faster for a few than a lookup by key.
const MOST_WINNERS: usize = 16;

/// Writes what differs from the winners; returns how many rows of Slack integrations were written.
pub(crate) fn spread(tables: &Tables, winners: &BTreeMap<String, i64>) -> u64 {
    spread_instead(tables, winners, &Instead::new())
}

pub(super) fn spread_instead(
    tables: &Tables,
    winners: &BTreeMap<String, i64>,
    scopes: &Instead,
) -> u64 {
    if winners.is_empty() {
        return 0;
    }
    let _writing = Writing::begin(tables.slack.oid, winners.keys().cloned().collect());
    let ids: Vec<i64> = winners.values().copied().collect();
    let (rows, scopes) = compare(tables, &ids, Rows::All, scopes);
    write(tables, &rows, &scopes)
}

/// Copies to some rows the values of a row of their team. The team's other rows are not read.
pub(super) fn follow(
    tables: &Tables,
    followers: &BTreeMap<i64, (String, Vec<i64>)>,
    scopes: &Instead,
) {
    let followers: Vec<_> = followers.iter().collect();
    for some in followers.chunks(MOST_WINNERS) {
        let teams = some.iter().map(|(_, (team, _))| team.clone()).collect();
        let _writing = Writing::begin(tables.slack.oid, teams);
        let ids: Vec<i64> = some.iter().map(|(row, _)| **row).collect();
        let rows: Vec<i64> = some.iter().flat_map(|(_, (_, its))| its).copied().collect();
        let (rows, scopes) = compare(tables, &ids, Rows::These(&rows), scopes);
        write(tables, &rows, &scopes);
    }
}

fn write(tables: &Tables, rows: &[Compared], scopes: &[ScopesOfRow]) -> u64 {
    let differing = rows
        .iter()
        .zip(scopes)
        .filter(|(row, _)| row.differing != 0);
    let mut by_winner: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (row, it) in differing {
        by_winner.entry(row.winner).or_default().push(it.row);
    }
    let by_winner: Vec<(i64, Vec<i64>)> = by_winner.into_iter().collect();
    let written = by_winner
        .chunks(MOST_WINNERS)
        .map(|some| write_rows(tables, some))
        .sum();
    write_scopes(tables, scopes);
    written
}

/// Writes the rows of some winners in id order.
fn write_rows(tables: &Tables, rows: &[(i64, Vec<i64>)]) -> u64 {
    let winners: Vec<i64> = rows.iter().map(|(winner, _)| *winner).collect();
    let ids: Vec<i64> = rows.iter().flat_map(|(_, its)| its).copied().collect();
    let arguments = [keys_argument(&ids), keys_argument(&winners)];
    let write_rows = &tables.statements.write_rows;
    write_rows.run_seeing(View::Newest, &arguments)
}
