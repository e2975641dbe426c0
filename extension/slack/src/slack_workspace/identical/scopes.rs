//! The scopes of rows: which links to delete and which to insert.

use crate::slack_workspace::host::Tables;
use lockstep_server::{View, datum, keys_argument};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// By winner, the scopes that its team gets instead of the winner's; None leaves the scopes unchanged.
pub(super) type Instead = BTreeMap<i64, Option<Rc<[String]>>>;

/// A row and its scopes.
pub(crate) struct ScopesOfRow {
    pub(crate) row: i64,
    /// The organization of its scopes; None if unknown.
    pub(crate) organization: Option<i64>,
    pub(crate) scopes: Vec<i64>,
    /// The names of its target scopes; None leaves them unchanged.
    pub(crate) wanted: Option<Rc<[String]>>,
}

/// Rows by scope.
#[derive(Default)]
pub(super) struct Links(BTreeMap<i64, Vec<i64>>);

impl Links {
    fn push(&mut self, row: i64, scope: i64) {
        self.0.entry(scope).or_default().push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Scopes by organization and name.
pub(super) struct Known(BTreeMap<(i64, String), i64>);

impl Known {
    /// The existing scopes.
    pub(super) fn look_up(tables: &Tables, rows: &[ScopesOfRow]) -> Self {
        let pairs = pairs(rows);
        let names: BTreeSet<String> = pairs.iter().map(|(_, name)| name.clone()).collect();
        let organizations: BTreeSet<i64> = pairs.iter().map(|(it, _)| *it).collect();
        let mut known = Self(BTreeMap::new());
        if names.is_empty() {
            return known;
        }
        let names: Vec<String> = names.into_iter().collect();
        let organizations: Vec<i64> = organizations.into_iter().collect();
        let arguments = [datum(names), keys_argument(&organizations)];
        let scopes = &tables.statements.scopes;
        scopes.rows(View::Newest, &arguments, |row| {
            if let (Some(id), Some(name), Some(organization)) = (row.get(1), row.get(2), row.get(3))
            {
                known.0.insert((organization, name), id);
            }
        });
        known
    }

    /// The same, creating missing scopes.
    pub(super) fn find_or_create(tables: &Tables, rows: &[ScopesOfRow]) -> Self {
        let known = Self::look_up(tables, rows);
        let missing = pairs(rows)
            .into_iter()
            .filter(|pair| !known.0.contains_key(pair));
        let (organizations, names): (Vec<i64>, Vec<String>) = missing.unzip();
        if names.is_empty() {
            return known;
        }
        let arguments = [datum(names), keys_argument(&organizations)];
        let create = &tables.statements.create_scopes;
        create.run_seeing(View::Newest, &arguments);
        // Another session may have created one of them just now.
        Self::look_up(tables, rows)
    }

    /// Which links the row has too many, and which it lacks.
    pub(super) fn difference(&self, it: &ScopesOfRow, gone: &mut Links, come: &mut Links) -> bool {
        let (Some(organization), Some(wanted)) = (it.organization, &it.wanted) else {
            return false;
        };
        let mut is_complete = true;
        let wanted: Vec<i64> = wanted
            .iter()
            .filter_map(|name| {
                let found = self.0.get(&(organization, name.clone())).copied();
                is_complete &= found.is_some();
                found
            })
            .collect();
        let mut differs = !is_complete;
        for scope in it.scopes.iter().filter(|scope| !wanted.contains(scope)) {
            gone.push(it.row, *scope);
            differs = true;
        }
        for scope in wanted.iter().filter(|scope| !it.scopes.contains(scope)) {
            come.push(it.row, *scope);
            differs = true;
        }
        differs
    }
}

/// The organizations and names of the scopes that rows want.
fn pairs(rows: &[ScopesOfRow]) -> BTreeSet<(i64, String)> {
    let mut groups: Vec<(i64, &Rc<[String]>)> = Vec::new();
    for it in rows {
        if let (Some(organization), Some(wanted)) = (it.organization, &it.wanted) {
            let is_same = |(other, names): &(i64, &Rc<[String]>)| {
                *other == organization && Rc::ptr_eq(names, wanted)
            };
            // The rows of a team are adjacent and usually have the same organization.
            if !groups.last().is_some_and(is_same) {
                groups.push((organization, wanted));
            }
        }
    }
    let pairs = groups.into_iter().flat_map(|(organization, names)| {
        names.iter().map(move |name| (organization, name.clone()))
    });
    pairs.collect()
}

/// Writes the target scopes of rows; returns whether any row had others.
pub(crate) fn write_scopes(tables: &Tables, rows: &[ScopesOfRow]) -> bool {
    let known = Known::find_or_create(tables, rows);
    let (mut gone, mut come) = (Links::default(), Links::default());
    for it in rows {
        known.difference(it, &mut gone, &mut come);
    }
    let statements = &tables.statements;
    for (links, statement) in [
        (&gone, &statements.delete_links),
        (&come, &statements.insert_links),
    ] {
        for (scope, rows) in &links.0 {
            statement.run_seeing(View::Newest, &[keys_argument(rows), datum(*scope)]);
        }
    }
    !gone.is_empty() || !come.is_empty()
}
