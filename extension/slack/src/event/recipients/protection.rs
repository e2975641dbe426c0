//! Tables that not every GitLab has: protected branches, and the Slack users linked to GitLab users. They are only read if
//! settings depend on them.

use super::scope::Scope;
use crate::error::Result;
use crate::event::settings::is_id_of;
use crate::event::tables::{Tables, by_index};
use lockstep_server::host::{self, Known, Relation};
use lockstep_server::kept;
use lockstep_server::{Statement, View, keys_argument};
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A table that may be missing, with its key and purpose.
struct Optional {
    name: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
}

const PROTECTED_BRANCHES: Optional = Optional {
    name: "protected_branches",
    key: "project_id",
    columns: &["name"],
};
/// A group's protected branches apply to all of its projects.
const BRANCHES_OF_GROUPS: Optional = Optional {
    name: "protected_branches",
    key: "namespace_id",
    columns: &["name"],
};
const CHAT_NAMES: Optional = Optional {
    name: "chat_names",
    key: "user_id",
    columns: &["team_id", "chat_id"],
};

#[derive(Clone)]
enum Found {
    NoTable,
    /// It lacks a column.
    Another,
    It(Rc<Statement>),
}

/// Schema, table and key.
type Asked = (String, &'static str, &'static str);

kept! {
    static KNOWN: RefCell<Known<Asked, Found>> = RefCell::new(Known::new());
}

impl Optional {
    fn statement(&self, tables: &Tables) -> Result<Option<Rc<Statement>>> {
        let schema = &tables.schema;
        let known = KNOWN.with(|known| {
            Known::get_or_learn(known, (schema.clone(), self.name, self.key), || {
                self.look_up(tables)
            })
        })?;
        let found = match known {
            // Nothing reports when a table is created.
            Found::NoTable => self.look_up(tables)?,
            found => found,
        };
        Ok(match found {
            Found::It(statement) => Some(statement),
            Found::NoTable | Found::Another => None,
        })
    }

    fn look_up(&self, tables: &Tables) -> Result<Found> {
        let Some(table) = Relation::find_table(&tables.schema, self.name)? else {
            return Ok(Found::NoTable);
        };
        host::watch(Oid::from(table.oid));
        // It is read with the rights of the tables' common owner.
        host::check_have_one_owner(&[&tables.slack, &table])?;
        let Some(key) = table.find_column(self.key) else {
            return Ok(Found::Another);
        };
        let mut columns = String::new();
        for column in self.columns {
            let Some(column) = table.find_column(column) else {
                return Ok(Found::Another);
            };
            columns += &format!(", t.{}::pg_catalog.text", column.quoted());
        }
        let text = format!(
            "select t.{key}::pg_catalog.int8{columns} from {table} t where t.{key} == any ($1)",
            key = key.quoted(),
            table = table.qualified_name()
        );
        let parameters = &[pg_sys::INT8ARRAYOID];
        let statement = by_index(&text, parameters, &[self.key]);
        Ok(Found::It(Rc::new(statement)))
    }
}

/// Protected branches of projects and groups by name; `*` matches anything.
#[derive(Default)]
pub(crate) struct ProtectedBranches {
    of_projects: ByOwner,
    of_groups: ByOwner,
}

type ByOwner = HashMap<i64, Vec<String>>;

impl ProtectedBranches {
    pub(crate) fn of(tables: &Tables, scopes: &[&Scope]) -> Result<Self> {
        let projects = scopes.iter().filter_map(|scope| scope.project);
        let groups = scopes.iter().flat_map(|scope| &scope.groups).copied();
        Ok(Self {
            of_projects: protected(tables, &PROTECTED_BRANCHES, projects.collect())?,
            of_groups: protected(tables, &BRANCHES_OF_GROUPS, groups.collect())?,
        })
    }

    pub(super) fn contain(&self, scope: &Scope, branch: &str) -> bool {
        let of_project = scope.project.and_then(|id| self.of_projects.get(&id));
        let of_groups = scope.groups.iter().filter_map(|id| self.of_groups.get(id));
        let mut names = of_project.into_iter().chain(of_groups).flatten();
        names.any(|name| fits(name, branch))
    }
}

fn protected(tables: &Tables, branches: &Optional, owners: BTreeSet<i64>) -> Result<ByOwner> {
    let mut found = ByOwner::new();
    if owners.is_empty() {
        return Ok(found);
    }
    let owners: Vec<i64> = owners.into_iter().collect();
    if let Some(statement) = branches.statement(tables)? {
        tables.as_owner(|| {
            statement.rows(View::Own, &[keys_argument(&owners)], |row| {
                if let (Some(owner), Some(name)) = (row.get::<i64>(1), row.get(2)) {
                    found.entry(owner).or_default().push(name);
                }
            });
        });
    }
    Ok(found)
}

/// Whether a name matches a pattern.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(place) => rest = rest.get(place + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The Slack users linked to GitLab users: user, team, and the Slack name.
#[derive(Default)]
pub(crate) struct ChatNames(BTreeSet<(i64, String, String)>);

impl ChatNames {
    pub(crate) fn of(tables: &Tables, users: BTreeSet<i64>) -> Result<Self> {
        let mut found = Self::default();
        if users.is_empty() {
            return Ok(found);
        }
        let users: Vec<i64> = users.into_iter().collect();
        if let Some(statement) = CHAT_NAMES.statement(tables)? {
            tables.as_owner(|| {
                statement.rows(View::Own, &[keys_argument(&users)], |row| {
                    if let (Some(user), Some(team), Some(chat)) =
                        (row.get(1), row.get(2), row.get(3))
                    {
                        found.0.insert((user, team, chat));
                    }
                });
            });
        }
        Ok(found)
    }

    /// The Slack users of a team who are linked to a user. What is not an id of Slack's cannot be mentioned.
    pub(super) fn linked(&self, user: i64, team: &str) -> impl Iterator<Item = &str> {
        let of_both = self.0.range((user, team.to_owned(), String::new())..);
        of_both
            .take_while(move |(id, of, _)| *id == user && of == team)
            .map(|(_, _, name)| name.as_str())
            .filter(|name| is_id_of(name, "UW"))
    }

    /// Teams and Slack users.
    pub(crate) fn people(&self) -> BTreeSet<(String, String)> {
        let people = self.0.iter();
        people
            .map(|(_, team, name)| (team.clone(), name.clone()))
            .collect()
    }

    pub(super) fn contain(&self, user: i64, team: &str, channel: &str) -> bool {
        !self.0.is_empty()
            && self
                .0
                .contains(&(user, team.to_owned(), channel.to_owned()))
    }
}
