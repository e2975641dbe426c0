//! The noted rows as they are now. A statement may note thousands, most of them with the same few scopes, so that these are read as
//! numbers and their names looked up once.

use super::noted::{Cause, Note};
use crate::slack_workspace::host::Tables;
use lockstep_server::{View, keys_argument};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

pub(super) struct NotedRow {
    pub(super) row: i64,
    pub(super) team: String,
    pub(super) token: Option<Vec<u8>>,
    /// The names of its scopes in alphabetical order.
    pub(super) scopes: Rc<[String]>,
}

/// The names of scopes that exist.
pub(super) struct ScopeNames(BTreeMap<i64, String>);

impl ScopeNames {
    pub(super) fn has(&self, scope: i64) -> bool {
        self.0.contains_key(&scope)
    }

    fn look_up(tables: &Tables, scopes: BTreeSet<i64>) -> Self {
        let mut names = BTreeMap::new();
        if !scopes.is_empty() {
            let scopes: Vec<i64> = scopes.into_iter().collect();
            let names_of = &tables.statements.names_of;
            names_of.rows(View::Newest, &[keys_argument(&scopes)], |row| {
                names.extend(row.get::<i64>(1).zip(row.get::<String>(2)));
            });
        }
        Self(names)
    }

    fn of(&self, scopes: &[i64]) -> Rc<[String]> {
        let mut names: Vec<String> = scopes
            .iter()
            .filter_map(|scope| self.0.get(scope).cloned())
            .collect();
        names.sort_unstable();
        Rc::from(names)
    }
}

/// Those of the noted rows that exist, and the names of all scopes in rows and notes. The caller has the rights of the tables'
/// owner.
pub(super) fn read(tables: &Tables, notes: &[Note]) -> (BTreeMap<i64, NotedRow>, ScopeNames) {
    let ids: BTreeSet<i64> = notes.iter().map(|note| note.row).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let mut found = Vec::with_capacity(ids.len());
    // The scopes of a row, by the order in which they are stored.
    let mut linked: HashMap<Vec<i64>, Rc<[String]>> = HashMap::new();
    let noted = &tables.statements.noted;
    noted.rows(View::Newest, &[keys_argument(&ids)], |row| {
        let scopes: Vec<i64> = row.get(3).unwrap_or_default();
        if !linked.contains_key(&scopes) {
            linked.insert(scopes.clone(), Rc::from([]));
        }
        found.push((
            row.get(4).unwrap_or_default(),
            row.get(1).unwrap_or_default(),
            row.get(2),
            scopes,
        ));
    });
    let in_notes = notes.iter().filter_map(|note| match note.cause {
        Cause::Linked(scope) => Some(scope),
        _ => None,
    });
    let scopes = linked.keys().flatten().copied().chain(in_notes).collect();
    let names = ScopeNames::look_up(tables, scopes);
    for (scopes, its) in &mut linked {
        *its = names.of(scopes);
    }
    let rows = found.into_iter().map(|(row, team, token, scopes)| {
        let scopes = Rc::clone(&linked[&scopes]);
        let noted = NotedRow {
            row,
            team,
            token,
            scopes,
        };
        (row, noted)
    });
    (rows.collect(), names)
}
