//! What only some hosts have: branches that are protected, and the Slack users that users of the host are linked to. Neither is asked
//! for unless settings depend on it.

use super::tables::{Tables, by_index};
use crate::error::Result;
use crate::host::{self, Known, Relation};
use crate::statement::{Statement, View, keys_argument};
use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// A table that the host may lack, with what it is asked by, and what for.
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
const CHAT_NAMES: Optional = Optional {
    name: "chat_names",
    key: "user_id",
    columns: &["team_id", "chat_id"],
};

type Found = Option<Rc<Statement>>;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static KNOWN: ManuallyDrop<RefCell<Known<(String, &'static str), Found>>> =
        const { ManuallyDrop::new(RefCell::new(Known::new())) };
}

impl Optional {
    fn statement(&self, schema: &str) -> Result<Found> {
        let known = KNOWN.with(|known| {
            Known::get_or_learn(known, (schema.to_owned(), self.name), || {
                self.look_up(schema)
            })
        })?;
        match known {
            Some(statement) => Ok(Some(statement)),
            // Nothing tells when a table comes into being.
            None => self.look_up(schema),
        }
    }

    fn look_up(&self, schema: &str) -> Result<Found> {
        let Some(table) = Relation::find_table(schema, self.name)? else {
            return Ok(None);
        };
        host::watch(Oid::from(table.oid));
        let Some(key) = table.find_column(self.key) else {
            return Ok(None);
        };
        let mut columns = String::new();
        for column in self.columns {
            let Some(column) = table.find_column(column) else {
                return Ok(None);
            };
            columns += &format!(", t.{}::pg_catalog.text", column.quoted());
        }
        let text = format!(
            "select t.{key}::pg_catalog.int8{columns} from {table} t where t.{key} == any ($1)",
            key = key.quoted(),
            table = table.qualified_name()
        );
        let parameters = &[pg_sys::INT8ARRAYOID];
        Ok(Some(Rc::new(by_index(&text, parameters, &[self.key]))))
    }
}

/// The protected branches of projects, by their names, in which `*` stands for anything.
#[derive(Default)]
pub(super) struct ProtectedBranches(HashMap<i64, Vec<String>>);

impl ProtectedBranches {
    pub(super) fn of(tables: &Tables, projects: BTreeSet<i64>) -> Result<Self> {
        let mut found = Self::default();
        if projects.is_empty() {
            return Ok(found);
        }
        let projects: Vec<i64> = projects.into_iter().collect();
        if let Some(statement) = PROTECTED_BRANCHES.statement(&tables.schema)? {
            tables.as_owner(|| {
                statement.rows(View::Own, &[keys_argument(&projects)], |row| {
                    if let (Some(project), Some(name)) = (row.get::<i64>(1), row.get(2)) {
                        found.0.entry(project).or_default().push(name);
                    }
                });
            });
        }
        Ok(found)
    }

    pub(super) fn contain(&self, project: i64, branch: &str) -> bool {
        let names = self.0.get(&project).into_iter().flatten();
        names.into_iter().any(|name| fits(name, branch))
    }
}

/// Whether a name fits a pattern.
fn fits(pattern: &str, name: &str) -> bool {
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

/// Which Slack users the users of the host are: user, team and Slack's own name of him.
#[derive(Default)]
pub(super) struct ChatNames(HashSet<(i64, String, String)>);

impl ChatNames {
    pub(super) fn of(tables: &Tables, users: BTreeSet<i64>) -> Result<Self> {
        let mut found = Self::default();
        if users.is_empty() {
            return Ok(found);
        }
        let users: Vec<i64> = users.into_iter().collect();
        if let Some(statement) = CHAT_NAMES.statement(&tables.schema)? {
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

    pub(super) fn contain(&self, user: i64, team: &str, channel: &str) -> bool {
        !self.0.is_empty()
            && self
                .0
                .contains(&(user, team.to_owned(), channel.to_owned()))
    }
}
