//! Compares the rows of teams with the winning row of each. The caller has the rights of the tables' owner.

use super::kept::describe;
use super::open::is_open;
use super::scopes::{Instead, ScopesOfRow};
use crate::slack_workspace::host::Tables;
use lockstep_server::{Answer, View, keys_argument};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A row that is not its team's winner.
pub(super) struct Compared {
    pub(super) team: Rc<str>,
    pub(super) winner: i64,
    /// The shared columns that differ, one bit each.
    pub(super) differing: i32,
}

/// The values of a team's winner.
struct Winner {
    team: Rc<str>,
    scopes: Option<Rc<[String]>>,
    organization: Option<i64>,
}

/// Which rows to compare with the winners.
pub(super) enum Rows<'a> {
    All,
    These(&'a [i64]),
}

/// The other rows of the winners' teams in id order, with their scopes.
pub(super) fn compare(
    tables: &Tables,
    winners: &[i64],
    rows: Rows,
    instead: &Instead,
) -> (Vec<Compared>, Vec<ScopesOfRow>) {
    if winners.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let found: BTreeMap<i64, Winner> = describe(tables, winners)
        .into_iter()
        .map(|(id, row)| {
            let winner = Winner {
                team: Rc::from(row.team),
                scopes: match instead.get(&id) {
                    Some(scopes) => scopes.clone(),
                    None => Some(Rc::from(row.scopes)),
                },
                organization: row.organization,
            };
            (id, winner)
        })
        .collect();
    let mut compared = Vec::new();
    let read = |row: &Answer| {
        let id: i64 = row.get(2).unwrap_or_default();
        let Some(winner) = found.get(&id) else {
            return;
        };
        let of_row = Compared {
            team: Rc::clone(&winner.team),
            winner: id,
            differing: row.get(3).unwrap_or_default(),
        };
        let row_id = row.get(1).unwrap_or_default();
        let scopes: Vec<i64> = row.get(5).unwrap_or_default();
        // A row that is open, like the winner, has yet to get its scopes too.
        let is_left =
            instead.contains_key(&id) && scopes.is_empty() && is_open(tables.slack.oid, row_id);
        let scopes = ScopesOfRow {
            row: row_id,
            organization: row.get(4).or(winner.organization),
            scopes,
            wanted: winner.scopes.clone().filter(|_| !is_left),
        };
        compared.push((of_row, scopes));
    };
    let statements = &tables.statements;
    let arguments = [keys_argument(winners)];
    match rows {
        Rows::All => statements.others.rows(View::Newest, &arguments, read),
        Rows::These(rows) => {
            let arguments = [arguments[0], keys_argument(rows)];
            statements.these.rows(View::Newest, &arguments, read);
        }
    }
    compared.sort_unstable_by_key(|(_, scopes)| scopes.row);
    compared.into_iter().unzip()
}
