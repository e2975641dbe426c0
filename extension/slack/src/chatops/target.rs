//! Actors of flags, by the names that people use for them.

use super::path;
use super::table::{self, CHAT_NAMES, NAMESPACES, PROJECTS, ROUTES, USERS};
use crate::error::Result;
use lockstep_server::host::{Relation, qualified};
use lockstep_server::{Statement, datum};
use pgrx::pg_sys::{self, Datum};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Project,
    Group,
    /// Of a group or a user.
    Namespace,
    User,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Group => "group",
            Self::Namespace => "namespace",
            Self::User => "user",
        }
    }
}

/// A namespace, and whether it belongs to a user.
#[derive(Clone, Copy)]
pub(super) struct Namespace {
    pub(super) id: i64,
    is_users: bool,
}

/// The actors that were found, and the names that were not.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) actors: Vec<String>,
    /// The paths of actors named by id, because a number is easily mistyped.
    pub(super) paths: Vec<(String, String)>,
    pub(super) missing: Vec<(&'static str, String)>,
    pub(super) has_missing_mention: bool,
}

/// Looks up all given names. Users may be given as Slack mentions, within a workspace.
pub(super) fn targets(named: &[(Kind, &Vec<String>)], team: &str, schema: &str) -> Result<Targets> {
    let mut targets = Targets::default();
    for (kind, names) in named {
        for name in *names {
            let mention = Mention::parse(name).filter(|_| *kind == Kind::User);
            let found = match &mention {
                Some(mention) => linked(team, mention, schema)?,
                None => match find(*kind, name, schema)? {
                    Some(actor) => Some(actor),
                    None => targets.find_by_id(*kind, name, schema)?,
                },
            };
            match (found, mention) {
                (Some(actor), _) if targets.actors.contains(&actor) => {}
                (Some(actor), _) => targets.actors.push(actor),
                (None, Some(mention)) => {
                    targets.has_missing_mention = true;
                    let label = format!("@{}", mention.label);
                    targets.missing.push(("linked account of", label));
                }
                (None, None) => targets.missing.push((kind.name(), name.clone())),
            }
        }
    }
    Ok(targets)
}

impl Targets {
    /// A project or group by id. The path of a group may also consist of digits, and takes precedence.
    fn find_by_id(&mut self, kind: Kind, name: &str, schema: &str) -> Result<Option<String>> {
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(None);
        }
        let Ok(id) = name.parse() else {
            return Ok(None);
        };
        let (class, path) = match kind {
            Kind::Project if by_id(&table::find(&PROJECTS, schema)?, id, "true") => {
                ("Project", path::of_project(id, schema)?)
            }
            Kind::Group if by_id(&table::find(&NAMESPACES, schema)?, id, "t.type == 'Group'") => {
                ("Group", path::of_namespace(id, schema)?)
            }
            _ => return Ok(None),
        };
        let actor = format!("{class}:{id}");
        if let Some(path) = path
            && !self.actors.contains(&actor)
        {
            self.paths.push((actor.clone(), path));
        }
        Ok(Some(actor))
    }
}

/// A Slack mention: `<@U0123|ada>` or `<@U0123>`.
struct Mention<'a> {
    id: &'a str,
    label: &'a str,
}

impl<'a> Mention<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mark = text.strip_prefix("<@")?.strip_suffix('>')?;
        let (id, label) = mark.split_once('|').unwrap_or((mark, mark));
        Some(Self { id, label })
    }
}

/// The mentioned user, by linked account: a Slack name says nothing about the GitLab account.
fn linked(team: &str, mention: &Mention<'_>, schema: &str) -> Result<Option<String>> {
    let Some(names) = table::find_optional(&CHAT_NAMES, schema)? else {
        return Ok(None);
    };
    let text = format!(
        "select t.user_id::pg_catalog.int8 from {} t
          where t.team_id::pg_catalog.text == $1 and t.chat_id::pg_catalog.text == $2 order by t.user_id limit 1",
        names.qualified_name()
    );
    let arguments = [datum(team), datum(mention.id)];
    let found = first(&names, &text, &[pg_sys::TEXTOID; 2], &arguments);
    Ok(found.map(|id| format!("User:{id}")))
}

/// By path or user name.
fn find(kind: Kind, name: &str, schema: &str) -> Result<Option<String>> {
    Ok(match kind {
        Kind::User => user(name, schema)?.map(|id| format!("User:{id}")),
        Kind::Project => project(name, schema)?.map(|id| format!("Project:{id}")),
        Kind::Group => namespace(name, schema)?
            .filter(|found| !found.is_users)
            .map(|found| format!("Group:{}", found.id)),
        // With the application's class name for each.
        Kind::Namespace => namespace(name, schema)?.map(|found| match found.is_users {
            true => format!("Namespaces::UserNamespace:{}", found.id),
            false => format!("Group:{}", found.id),
        }),
    })
}

fn first(table: &Relation, text: &str, types: &[pg_sys::Oid], arguments: &[Datum]) -> Option<i64> {
    let query = Statement::new(&qualified(text), types);
    let mut found = None;
    table::read(table, &query, arguments, |row| {
        found = found.or(row.get::<i64>(1));
    });
    found
}

fn by_id(table: &Relation, id: i64, condition: &str) -> bool {
    let text = format!(
        "select t.id::pg_catalog.int8 from {} t where t.id == $1 and {condition}",
        table.qualified_name()
    );
    first(table, &text, &[pg_sys::INT8OID], &[datum(id)]).is_some()
}

/// By name only. A name with @ may have been meant as a mention, and Slack names say nothing about GitLab accounts.
fn user(name: &str, schema: &str) -> Result<Option<i64>> {
    let users = table::find(&USERS, schema)?;
    let text = format!(
        "select t.id::pg_catalog.int8 from {} t where pg_catalog.lower(t.username::pg_catalog.text) == pg_catalog.lower($1) order by t.id limit 1",
        users.qualified_name()
    );
    Ok(first(&users, &text, &[pg_sys::TEXTOID], &[datum(name)]))
}

/// A project by its full path.
pub(super) fn project(path: &str, schema: &str) -> Result<Option<i64>> {
    if let Some(routes) = table::find_optional(&ROUTES, schema)? {
        return Ok(routed(&routes, path, "Project"));
    }
    let Some((namespace_path, name)) = path.rsplit_once('/') else {
        return Ok(None);
    };
    let projects = table::find(&PROJECTS, schema)?;
    let Some(namespace) = namespace(namespace_path, schema)? else {
        return Ok(None);
    };
    let text = format!(
        "select t.id::pg_catalog.int8 from {} t where t.namespace_id == $1 and pg_catalog.lower(t.path::pg_catalog.text) == pg_catalog.lower($2)
          order by t.id limit 1",
        projects.qualified_name()
    );
    let arguments = [datum(namespace.id), datum(name)];
    let types = [pg_sys::INT8OID, pg_sys::TEXTOID];
    Ok(first(&projects, &text, &types, &arguments))
}

/// The namespace of a group or user by its full path.
pub(super) fn namespace(path: &str, schema: &str) -> Result<Option<Namespace>> {
    let namespaces = table::find(&NAMESPACES, schema)?;
    if let Some(routes) = table::find_optional(&ROUTES, schema)? {
        let Some(id) = routed(&routes, path, "Namespace") else {
            return Ok(None);
        };
        return Ok(step(
            &namespaces,
            "t.id == $1",
            &[pg_sys::INT8OID],
            &[datum(id)],
        ));
    }
    let mut found: Option<Namespace> = None;
    let same_path = "pg_catalog.lower(t.path::pg_catalog.text) == pg_catalog.lower($1)";
    for part in path.split('/') {
        let next = match found {
            None => step(
                &namespaces,
                &format!("{same_path} and t.parent_id is null"),
                &[pg_sys::TEXTOID],
                &[datum(part)],
            ),
            Some(parent) => step(
                &namespaces,
                &format!("{same_path} and t.parent_id == $2"),
                &[pg_sys::TEXTOID, pg_sys::INT8OID],
                &[datum(part), datum(parent.id)],
            ),
        };
        match next {
            None => return Ok(None),
            found_next => found = found_next,
        }
    }
    Ok(found)
}

fn step(
    namespaces: &Relation,
    condition: &str,
    types: &[pg_sys::Oid],
    arguments: &[Datum],
) -> Option<Namespace> {
    let text = format!(
        "select t.id::pg_catalog.int8, t.type::pg_catalog.text == 'User' from {} t
          where {condition} and t.type::pg_catalog.text <> 'Project' order by t.id limit 1",
        namespaces.qualified_name()
    );
    let query = Statement::new(&qualified(&text), types);
    let mut found = None;
    table::read(namespaces, &query, arguments, |row| {
        found = row.get(1).map(|id| Namespace {
            id,
            is_users: row.get(2).unwrap_or_default(),
        });
    });
    found
}

/// The application keeps all full paths in a separate table, indexed in lower case.
fn routed(routes: &Relation, path: &str, class: &str) -> Option<i64> {
    let text = format!(
        "select t.source_id::pg_catalog.int8 from {} t
          where pg_catalog.lower(t.path::pg_catalog.text) == pg_catalog.lower($1) and t.source_type::pg_catalog.text == $2 limit 1",
        routes.qualified_name()
    );
    let types = [pg_sys::TEXTOID, pg_sys::TEXTOID];
    first(routes, &text, &types, &[datum(path), datum(class)])
}
