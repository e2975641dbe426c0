//! At the end of a transaction, rows that still have no scope keep none, and so do their teams.

use super::flush::finish;
use super::open;
use crate::error::Result;
use crate::slack_workspace::host::{Statements, Tables, tables_of};
use lockstep_server::{View, keys_argument, with_new_snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// The number of rounds for an application trigger that keeps writing such rows in response.
const MOST_ROUNDS: usize = 10;

/// Settles open rows. Called when the transaction commits or is prepared, after its last statement.
pub(crate) fn settle() -> Result<()> {
    for _ in 0..MOST_ROUNDS {
        let open = open::take();
        if open.is_empty() {
            break;
        }
        with_new_snapshot(|| {
            open.into_iter()
                .try_for_each(|(table, rows)| settle_table(table, &rows))
        })?;
    }
    Ok(())
}

fn settle_table(table: u32, rows: &[i64]) -> Result<()> {
    // The transaction may have dropped, changed or detached the tables; then there is nothing to do.
    let Ok(tables) = tables_of(table).and_then(|tables| Tables::attached(&tables.schema)) else {
        return Ok(());
    };
    if tables.slack.oid != table {
        return Ok(());
    }
    let Statements { without_scopes, .. } = &tables.statements;
    let mut teams = BTreeMap::new();
    tables.as_owner(|| {
        without_scopes.rows(View::Newest, &[keys_argument(rows)], |row| {
            teams.extend(row.get::<i64>(1).zip(row.get::<String>(2)));
        });
    });
    // The last one of each team.
    let winners: BTreeMap<String, i64> = rows
        .iter()
        .filter_map(|row| Some((teams.get(row)?.clone(), *row)))
        .collect();
    let carried: BTreeSet<String> = winners.keys().cloned().collect();
    finish(&tables, winners, &BTreeMap::new(), &carried)
}
