//! The flush: brings the rows of all noted teams in lockstep with the row that wins in each.

use super::installation;
use super::lock;
use super::noted::{Cause, Note, take};
use super::spread::spread;
use super::tables::Tables;
use super::trigger::tables_of;
use crate::error::Result;
use crate::server::{View, datum, keys_argument};
use std::collections::{BTreeMap, BTreeSet};

/// Flushes what has been noted at this level of savepoints.
pub(super) fn flush() -> Result<()> {
    let mut by_table: BTreeMap<u32, Vec<Note>> = BTreeMap::new();
    for note in take() {
        by_table.entry(note.table).or_default().push(note);
    }
    for (table, notes) in by_table {
        let tables = tables_of(table)?;
        flush_table(&tables, &notes)?;
    }
    Ok(())
}

fn flush_table(tables: &Tables, notes: &[Note]) -> Result<()> {
    let (winners, carried) = tables.as_owner(|| {
        let teams = teams_of(tables, notes);
        lock::teams(tables.slack.oid, teams.values().map(String::as_str));
        // Whoever held the lock may have moved rows to other teams; the lock of the table keeps everybody from it from now on.
        let winners = winners(tables, notes);
        let carried: BTreeSet<String> = winners
            .iter()
            .filter(|(_, row)| row.is_some())
            .map(|(team, _)| team.clone())
            .collect();
        // What came to a team has nothing to say there, as long as the team has a row of its own with a token.
        let came = notes.iter().filter(|note| note.cause == Cause::Came);
        let came: Vec<i64> = came.map(|note| note.row).collect();
        (with_best(tables, winners, &came), carried)
    });
    // Triggers of the host fire under the path of its schema, whatever that of whoever wrote the first row.
    tables.on_host(|| spread(tables, &winners));
    installation::follow(tables, &winners, &carried)
}

/// The teams of the rows that were noted and are still there.
fn teams_of(tables: &Tables, notes: &[Note]) -> BTreeMap<i64, String> {
    let ids: BTreeSet<i64> = notes.iter().map(|note| note.row).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let mut teams = BTreeMap::new();
    tables
        .statements
        .teams_of
        .rows(View::Newest, &[keys_argument(&ids)], |row| {
            if let (Some(id), Some(team)) = (row.get(1), row.get(2)) {
                teams.insert(id, team);
            }
        });
    teams
}

/// The row of each team that carries, as far as there is one: the last that was noted.
fn winners(tables: &Tables, notes: &[Note]) -> BTreeMap<String, Option<i64>> {
    let teams = teams_of(tables, notes);
    let scopes_left = scopes_left(tables, notes);
    let mut winners: BTreeMap<String, Option<i64>> = BTreeMap::new();
    for note in notes {
        let Some(team) = teams.get(&note.row) else {
            continue;
        };
        let carries = match note.cause {
            Cause::Carries => true,
            Cause::Follows | Cause::Came => false,
            Cause::Linked(scope) => scopes_left.contains(&scope),
        };
        let winner = winners.entry(team.clone()).or_default();
        if carries {
            *winner = Some(note.row);
        }
    }
    winners
}

fn scopes_left(tables: &Tables, notes: &[Note]) -> BTreeSet<i64> {
    let scopes = notes.iter().filter_map(|note| match note.cause {
        Cause::Linked(scope) => Some(scope),
        _ => None,
    });
    let scopes: BTreeSet<i64> = scopes.collect();
    let mut left = BTreeSet::new();
    if !scopes.is_empty() {
        let scopes: Vec<i64> = scopes.into_iter().collect();
        let arguments = [keys_argument(&scopes)];
        tables
            .statements
            .scopes_left
            .rows(View::Newest, &arguments, |row| {
                left.extend(row.get::<i64>(1))
            });
    }
    left
}

/// The winner of each team; where none carries, the best row.
fn with_best(
    tables: &Tables,
    winners: BTreeMap<String, Option<i64>>,
    came: &[i64],
) -> BTreeMap<String, i64> {
    let without = winners.iter().filter(|(_, row)| row.is_none());
    let without: Vec<String> = without.map(|(team, _)| team.clone()).collect();
    let mut all: BTreeMap<String, i64> = winners
        .into_iter()
        .filter_map(|(team, row)| Some((team, row?)))
        .collect();
    all.append(&mut best(tables, without, came));
    all
}

/// The best row of each team; one that has just come only if no other has a token. The caller runs with the rights of the tables'
/// owner.
pub(super) fn best(tables: &Tables, teams: Vec<String>, came: &[i64]) -> BTreeMap<String, i64> {
    let mut best = BTreeMap::new();
    if !teams.is_empty() {
        let arguments = [datum(teams), keys_argument(came)];
        tables
            .statements
            .best
            .rows(View::Newest, &arguments, |row| {
                if let (Some(team), Some(id)) = (row.get(1), row.get(2)) {
                    best.insert(team, id);
                }
            });
    }
    best
}
