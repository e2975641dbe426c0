//! The rows of teams beside the row that wins in each. The caller has the rights of the tables' owner.

use super::scopes::ScopesOfRow;
use super::tables::Tables;
use crate::server::{View, keys_argument};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A row that is not the winner of its team.
pub(super) struct Compared {
    pub(super) team: Rc<str>,
    pub(super) winner: i64,
    /// The shared columns in which it differs, a bit each.
    pub(super) differing: i32,
}

/// What the winner of a team has.
struct Winner {
    team: Rc<str>,
    scopes: Rc<[String]>,
    organization: Option<i64>,
}

/// All other rows of the teams of some winners, in the order of their ids, with their scopes.
pub(super) fn compare(tables: &Tables, winners: &[i64]) -> (Vec<Compared>, Vec<ScopesOfRow>) {
    if winners.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let arguments = [keys_argument(winners)];
    let mut found: BTreeMap<i64, Winner> = BTreeMap::new();
    let describe = &tables.statements.describe;
    describe.rows(View::Newest, &arguments, |row| {
        let team: String = row.get(1).unwrap_or_default();
        let winner = Winner {
            team: Rc::from(team.as_str()),
            scopes: Rc::from(row.get::<Vec<String>>(6).unwrap_or_default()),
            organization: row.get(7),
        };
        found.insert(row.get(8).unwrap_or_default(), winner);
    });
    let mut rows = Vec::new();
    let others = &tables.statements.others;
    others.rows(View::Newest, &arguments, |row| {
        let id: i64 = row.get(2).unwrap_or_default();
        let Some(winner) = found.get(&id) else {
            return;
        };
        let compared = Compared {
            team: Rc::clone(&winner.team),
            winner: id,
            differing: row.get(3).unwrap_or_default(),
        };
        let scopes = ScopesOfRow {
            row: row.get(1).unwrap_or_default(),
            organization: row.get(4).or(winner.organization),
            scopes: row.get(5).unwrap_or_default(),
            wanted: Rc::clone(&winner.scopes),
        };
        rows.push((compared, scopes));
    });
    rows.sort_unstable_by_key(|(_, scopes)| scopes.row);
    rows.into_iter().unzip()
}
