//! Where an event happened: its project, the groups above, and the organization.

use super::reason::Reason;
use crate::event::read::Place;
use crate::event::tables::Tables;
use lockstep_server::{View, datum, keys_argument};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// The levels at which integrations may apply to an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    pub(crate) project: Option<i64>,
    /// The nearest first.
    pub(crate) groups: Vec<i64>,
    pub(crate) organization: Option<i64>,
    /// Why nobody is notified of anything there.
    pub(super) quiet: Option<Reason>,
}

impl Scope {
    /// Why nobody is notified of anything there, if so.
    pub(crate) fn quiet(&self) -> Option<Reason> {
        self.quiet
    }

    /// Nobody is notified of anything there.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.is_some()
    }
}

/// The scopes of a batch.
#[derive(Default)]
pub(crate) struct Scopes<'a> {
    projects: HashMap<i64, Scope>,
    groups: HashMap<i64, Scope>,
    groups_of_path: HashMap<Cow<'a, str>, i64>,
}

impl<'a> Scopes<'a> {
    /// The caller has the rights of the tables' owner.
    pub(crate) fn look_up<'b>(tables: &Tables, places: impl Iterator<Item = &'b Place<'a>>) -> Self
    where
        'a: 'b,
    {
        let mut projects = BTreeSet::new();
        let mut groups = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for place in places {
            match place {
                Place::Project(id) => projects.insert(*id),
                Place::Group(id) => groups.insert(*id),
                Place::GroupOfPath(path) => paths.insert(path),
            };
        }
        let mut scopes = Self::default();
        if !projects.is_empty() {
            scopes.look_up_projects(tables, projects);
        }
        if !paths.is_empty() {
            scopes.look_up_paths(tables, &paths);
            groups.extend(scopes.groups_of_path.values());
        }
        if !groups.is_empty() {
            scopes.look_up_groups(tables, groups);
        }
        scopes
    }

    pub(crate) fn of(&self, place: &Place<'a>) -> Option<&Scope> {
        match place {
            Place::Project(id) => self.projects.get(id),
            Place::Group(id) => self.groups.get(id),
            Place::GroupOfPath(path) => self.groups.get(self.groups_of_path.get(path)?),
        }
    }

    fn look_up_projects(&mut self, tables: &Tables, ids: BTreeSet<i64>) {
        let ids: Vec<i64> = ids.into_iter().collect();
        let query = &tables.statements.projects;
        query.rows(View::Own, &[keys_argument(&ids)], |row| {
            let Some(project) = row.get(1) else {
                return;
            };
            let scope = Scope {
                project: Some(project),
                groups: nearest_first(row.get(3), row.get(2)),
                organization: row.get(4),
                quiet: quiet(&[
                    (row.get(5), Reason::SilentMode),
                    (row.get(7), Reason::PendingDelete),
                    (row.get(6), Reason::Archived),
                ]),
            };
            self.projects.insert(project, scope);
        });
    }

    fn look_up_groups(&mut self, tables: &Tables, ids: BTreeSet<i64>) {
        let ids: Vec<i64> = ids.into_iter().collect();
        let query = &tables.statements.groups;
        query.rows(View::Own, &[keys_argument(&ids)], |row| {
            let Some(group) = row.get(1) else {
                return;
            };
            let scope = Scope {
                project: None,
                groups: nearest_first(row.get(2), Some(group)),
                organization: row.get(3),
                quiet: quiet(&[(row.get(4), Reason::SilentMode)]),
            };
            self.groups.insert(group, scope);
        });
    }

    /// Only the last part of a group's path is stored with the group.
    fn look_up_paths(&mut self, tables: &Tables, paths: &BTreeSet<&Cow<'a, str>>) {
        let last = |path: &&Cow<'a, str>| {
            let (_, last) = path.rsplit_once('/').unwrap_or(("", path));
            last.to_owned()
        };
        let last: BTreeSet<String> = paths.iter().map(last).collect();
        let last: Vec<String> = last.into_iter().collect();
        let mut found: Vec<(i64, Vec<i64>)> = Vec::new();
        let query = &tables.statements.groups_of_name;
        query.rows(View::Own, &[datum(last)], |row| {
            if let Some(group) = row.get(1) {
                let mut way = nearest_first(row.get(2), Some(group));
                way.reverse();
                found.push((group, way));
            }
        });
        let ids: BTreeSet<i64> = found.iter().flat_map(|(_, way)| way).copied().collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut names: HashMap<i64, String> = HashMap::new();
        let query = &tables.statements.names;
        query.rows(View::Own, &[keys_argument(&ids)], |row| {
            names.extend(row.get(1).zip(row.get(2)));
        });
        for (group, way) in found {
            let parts: Option<Vec<&str>> = way
                .iter()
                .map(|id| names.get(id).map(String::as_str))
                .collect();
            let path = parts.map(|parts| Cow::Owned(parts.join("/")));
            if let Some(path) = path.and_then(|path| paths.get(&path)) {
                self.groups_of_path.insert((*path).clone(), group);
            }
        }
    }
}

/// The first reason that holds.
fn quiet(reasons: &[(Option<bool>, Reason)]) -> Option<Reason> {
    let mut holding = reasons.iter().filter(|(holds, _)| *holds == Some(true));
    holding.next().map(|(_, reason)| *reason)
}

/// If a namespace's ancestors are unknown, only itself.
fn nearest_first(from_root: Option<Vec<i64>>, own: Option<i64>) -> Vec<i64> {
    let mut groups = from_root.unwrap_or_default();
    groups.reverse();
    if groups.is_empty() {
        groups.extend(own);
    }
    groups
}
