//! The flush: decides what the noted rows mean for their teams, and makes all rows of these teams identical.

use super::installation;
use super::kept::{self, Kept, best};
use super::noted::{Cause, Note, take};
use super::noted_rows::{NotedRow, ScopeNames, read};
use super::open::open;
use super::scopes::Instead;
use super::spread::{follow, spread_instead};
use crate::error::Result;
use crate::slack_workspace::host::{Tables, lock, tables_of};
use std::collections::{BTreeMap, BTreeSet};

/// Flushes what has been noted at this savepoint level.
pub(super) fn flush() -> Result<()> {
    kept::forget();
    let mut by_table: BTreeMap<u32, Vec<Note>> = BTreeMap::new();
    for note in take() {
        by_table.entry(note.table).or_default().push(note);
    }
    for (table, notes) in by_table {
        let tables = tables_of(table)?;
        let plan = tables.as_owner(|| Plan::make(&tables, &notes))?;
        // Application triggers run under the path of their schema, whatever the search path of the original statement.
        tables.as_owner(|| follow(&tables, &plan.followers, &plan.scopes));
        finish(&tables, plan.winners, &plan.scopes, &plan.carried)?;
    }
    Ok(())
}

/// Copies the winning rows to the others, and updates the installations.
pub(super) fn finish(
    tables: &Tables,
    winners: BTreeMap<String, i64>,
    scopes: &Instead,
    carried: &BTreeSet<String>,
) -> Result<()> {
    tables.as_owner(|| spread_instead(tables, &winners, scopes));
    installation::follow(tables, &winners, scopes, carried)
}

/// What a note means for its row.
enum Verdict {
    /// The team follows the row.
    Carries,
    /// The row follows the team.
    Follows,
    /// The row has no scope and does not say yet which it will have.
    Opens,
    /// The team's best row wins.
    Asks,
    /// Another part of the statement has changed the team, and its flush is still to come.
    Awaits,
}

fn verdict(cause: Cause, row: &NotedRow, kept: Option<&Kept>, scopes: &ScopeNames) -> Verdict {
    let token = kept.and_then(|kept| kept.row.token.as_ref());
    match (cause, &row.token) {
        (Cause::Came | Cause::Joined | Cause::Brings, Some(_)) if row.token.as_ref() == token => {
            Verdict::Follows
        }
        (Cause::Joined, Some(_)) if token.is_some() => Verdict::Awaits,
        (Cause::Came | Cause::Joined | Cause::Brings, Some(_)) => Verdict::Carries,
        (Cause::Moved, Some(_)) if token.is_none() => Verdict::Carries,
        // No other row has a token: it was removed from all.
        (Cause::Brings, None) if token.is_none() => Verdict::Carries,
        (Cause::Came | Cause::Joined | Cause::Brings | Cause::Moved, _) => Verdict::Follows,
        (Cause::Says, _) => Verdict::Carries,
        (Cause::Touched, _) => Verdict::Asks,
        // The scope itself is gone.
        (Cause::Linked(scope), _) if !scopes.has(scope) => Verdict::Follows,
        (Cause::Linked(_), _) => match kept.and_then(|kept| kept.scopes.as_ref()) {
            Some(scopes) if *scopes == row.scopes => Verdict::Follows,
            Some(_) if row.scopes.is_empty() => Verdict::Opens,
            _ => Verdict::Carries,
        },
    }
}

/// What to do for the teams in the notes.
#[derive(Default)]
struct Plan {
    /// The row that wins in each team.
    winners: BTreeMap<String, i64>,
    /// The teams whose winner carries a change, and is not just the best row.
    carried: BTreeSet<String>,
    /// Rows that take over their team's values, by a row that has them.
    followers: BTreeMap<i64, (String, Vec<i64>)>,
    /// The scopes of teams where the winner, or the row to follow, does not have them.
    scopes: Instead,
}

impl Plan {
    fn make(tables: &Tables, notes: &[Note]) -> Result<Self> {
        let table = tables.slack.oid;
        let (mut rows, mut scopes) = read(tables, notes);
        let teams: BTreeSet<&str> = rows.values().map(|row| row.team.as_str()).collect();
        if !lock::teams(table, teams) {
            // The previous lock holder may have moved rows to other teams; from now on the table's lock prevents that.
            (rows, scopes) = read(tables, notes);
        }
        let mut teams: BTreeMap<&str, Vec<(Cause, &NotedRow)>> = BTreeMap::new();
        for note in notes {
            if let Some(row) = rows.get(&note.row) {
                let of_team = teams.entry(&row.team).or_default();
                of_team.push((note.cause, row));
            }
        }
        let mut plan = Self::default();
        for (team, noted) in teams {
            plan.add(tables, team, &noted, &scopes)?;
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        tables: &Tables,
        team: &str,
        noted: &[(Cause, &NotedRow)],
        scopes: &ScopeNames,
    ) -> Result<()> {
        let table = tables.slack.oid;
        let ids: BTreeSet<i64> = noted.iter().map(|(_, row)| row.row).collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let kept = kept::look_up(tables, team, &ids);
        let mut winner = None;
        let mut asks = kept.is_none();
        let mut followers = BTreeSet::new();
        for (cause, row) in noted {
            match verdict(*cause, row, kept.as_ref(), scopes) {
                Verdict::Carries => {
                    let brings = matches!(cause, Cause::Came | Cause::Joined | Cause::Brings);
                    if brings && row.scopes.is_empty() && kept.is_some() {
                        open(table, row.row)?;
                    }
                    // The last one.
                    winner = Some(row.row);
                }
                Verdict::Follows => {
                    followers.insert(row.row);
                }
                Verdict::Opens => open(table, row.row)?,
                Verdict::Asks => asks = true,
                Verdict::Awaits => {}
            }
        }
        if winner.is_some() {
            self.carried.insert(team.to_owned());
        } else if asks {
            // A row that moved to a team carries nothing, as long as the team has another row with a token.
            let came = noted
                .iter()
                .filter(|(cause, _)| matches!(cause, Cause::Came | Cause::Joined | Cause::Moved));
            let came: Vec<i64> = came.map(|(_, row)| row.row).collect();
            winner = best(tables, vec![team.to_owned()], &came).remove(team);
        }
        match (winner, kept) {
            (Some(winner), kept) => {
                let described = kept::describe(tables, &[winner]);
                if described.values().any(|row| row.is_open(table)) {
                    let scopes = kept.and_then(|kept| kept.scopes);
                    self.scopes.insert(winner, scopes);
                }
                self.winners.insert(team.to_owned(), winner);
            }
            (None, Some(kept)) if !followers.is_empty() => {
                self.scopes.insert(kept.row.row, kept.scopes);
                let followers = followers.into_iter().collect();
                self.followers
                    .insert(kept.row.row, (team.to_owned(), followers));
            }
            (None, _) => {}
        }
        Ok(())
    }
}
