//! The application tables that decide who is notified of an event, and the statements on them.

use super::read::KINDS;
use crate::error::Result;
use crate::slack_workspace::{self, CLASS};
use lockstep_server::host::{Relation, qualified, way_to};
use lockstep_server::{Statement, datum};
use pgrx::pg_sys::{self, Datum, Oid};
use std::ops::Deref;
use std::rc::Rc;

/// The tables, including those of the Slack app.
pub(super) struct Tables {
    slack: Rc<slack_workspace::Tables>,
    pub(super) statements: Rc<Statements>,
}

pub(super) struct Statements {
    /// `$1` projects: project, namespace, the ids from the root to that namespace, organization, whether GitLab is silent, whether
    /// the project is archived, and whether it is being deleted.
    pub(super) projects: Statement,
    /// `$1` projects, or null: the same, whether GitLab is silent, whether there is such a project, whether it is archived, and
    /// whether it is being deleted.
    pub(super) quiet: Statement,
    /// `$1` groups: group, the ids from the root to it, organization, whether GitLab is silent.
    pub(super) groups: Statement,
    /// `$1` last parts of paths: group, the ids from the root to it.
    pub(super) groups_of_name: Statement,
    /// `$1` groups: group, the last part of its path.
    pub(super) names: Statement,
    /// Integrations by owner: `$1` owners, `$2` class. Returns owner, integration, whether it is active, its parent, its
    /// workspace row and that row's team, and its event columns.
    pub(super) of_projects: Statement,
    pub(super) of_groups: Statement,
    pub(super) of_organizations: Statement,
    /// `$1` integrations, `$2` class: integration, its parent, and row and team of each workspace it is installed in.
    pub(super) installed: Statement,
    /// `$1` integrations, `$2` class: integration and its parent.
    pub(super) parents: Statement,
}

impl Deref for Tables {
    type Target = slack_workspace::Tables;

    fn deref(&self) -> &slack_workspace::Tables {
        &self.slack
    }
}

impl Tables {
    /// The tables of an attached schema.
    pub(super) fn attached(schema: &str) -> Result<Self> {
        let slack = slack_workspace::Tables::attached(schema)?;
        let statements = slack.prepared(|_| Statements::new(&slack));
        Ok(Self { slack, statements })
    }
}

/// The class of the integrations that are notified of events.
pub(super) fn class() -> Datum {
    datum(CLASS)
}

/// A statement planned by index, because the same plan serves one event and a batch.
pub(super) fn by_index(text: &str, parameters: &[Oid], columns: &[&str]) -> Statement {
    let columns: Rc<[String]> = columns.iter().map(ToString::to_string).collect();
    Statement::by_index(&qualified(text), parameters, &columns)
}

/// A column, or null if the application lacks it.
fn column_or_null(table: &Relation, alias: &str, column: &str) -> String {
    match table.find_column(column) {
        Some(column) => format!("{alias}.{}::pg_catalog.int8", column.quoted()),
        None => "null::pg_catalog.int8".to_owned(),
    }
}

impl Statements {
    fn new(tables: &slack_workspace::Tables) -> Self {
        let p = tables.projects.qualified_name();
        let n = tables.namespaces.qualified_name();
        let i = tables.integrations.qualified_name();
        let s = tables.slack.qualified_name();
        let ids = &[pg_sys::INT8ARRAYOID];
        let ids_and_class = &[pg_sys::INT8ARRAYOID, pg_sys::TEXTOID];
        let organization = column_or_null(&tables.namespaces, "n", "organization_id");
        let way = way_to(&tables.namespaces, "n");
        let silent = silent_mode(tables);
        let is_archived = is_true(&tables.projects, "p", "archived");
        let is_going = is_true(&tables.projects, "p", "pending_delete");
        // Lets the planner use the application's index on paths, which covers groups only.
        let is_group = match tables.namespaces.find_column("type") {
            Some(_) => "and n.type == 'Group'",
            None => "",
        };
        let inherits = column_or_null(&tables.integrations, "i", "inherit_from_id");
        let rows = |owner: &str, condition: &str| {
            format!(
                "select {owner}, i.id::pg_catalog.int8, i.active, {inherits}, s.id::pg_catalog.int8, s.team_id::pg_catalog.text{events}
                   from {i} i left join {s} s on s.integration_id == i.id where {condition} and i.type_new == $2",
                events = event_columns(tables),
            )
        };
        let of_owner = |owner: &str| {
            let text = rows(
                &format!("i.{owner}::pg_catalog.int8"),
                &format!("i.{owner} == any ($1)"),
            );
            by_index(&text, ids_and_class, &[owner, "integration_id"])
        };
        Self {
            projects: by_index(
                &format!(
                    "select p.id::pg_catalog.int8, p.namespace_id::pg_catalog.int8, {way},
                            coalesce({}, {organization}), {silent}, {is_archived}, {is_going}
                       from {p} p left join {n} n on n.id == p.namespace_id where p.id == any ($1)",
                    column_or_null(&tables.projects, "p", "organization_id")
                ),
                ids,
                &["id"],
            ),
            quiet: by_index(
                &format!(
                    "select o.id, {silent}, p.id is not null, {is_archived}, {is_going}
                       from pg_catalog.unnest($1) o (id) left join {p} p on p.id == o.id"
                ),
                ids,
                &["id"],
            ),
            groups: by_index(
                &format!(
                    "select n.id::pg_catalog.int8, {way}, {organization}, {silent} from {n} n where n.id == any ($1)"
                ),
                ids,
                &["id"],
            ),
            groups_of_name: by_index(
                &format!(
                    "select n.id::pg_catalog.int8, {way} from {n} n where n.path == any ($1) {is_group}"
                ),
                &[pg_sys::TEXTARRAYOID],
                &["path", "id"],
            ),
            names: by_index(
                &format!("select n.id::pg_catalog.int8, n.path::pg_catalog.text from {n} n where n.id == any ($1)"),
                ids,
                &["id"],
            ),
            of_projects: of_owner("project_id"),
            of_groups: of_owner("group_id"),
            of_organizations: by_index(
                &of_instance(tables, rows),
                ids_and_class,
                &["organization_id", "type_new", "integration_id"],
            ),
            installed: by_index(
                &format!(
                    "select i.id::pg_catalog.int8, {inherits}, s.id::pg_catalog.int8, s.team_id::pg_catalog.text
                       from {i} i left join {s} s on s.integration_id == i.id where i.id == any ($1) and i.type_new == $2"
                ),
                ids_and_class,
                &["id", "integration_id"],
            ),
            parents: by_index(
                &format!(
                    "select i.id::pg_catalog.int8, {inherits} from {i} i where i.id == any ($1) and i.type_new == $2"
                ),
                ids_and_class,
                &["id"],
            ),
        }
    }
}

/// A boolean column; false if the application lacks it.
fn is_true(table: &Relation, alias: &str, column: &str) -> String {
    match table.find_column(column) {
        Some(column) if column.is_boolean() => {
            format!("coalesce({alias}.{}, false)", column.quoted())
        }
        _ => "false".to_owned(),
    }
}

/// Whether an administrator has told GitLab to send nothing; false if its settings cannot be read.
fn silent_mode(tables: &slack_workspace::Tables) -> String {
    let found = Relation::find_table(&tables.schema, "application_settings");
    let settings = found.ok().flatten().filter(|settings| {
        settings.owner == tables.slack.owner && settings.find_column("id").is_some()
    });
    match settings {
        Some(settings) => format!(
            "coalesce((select {} from {} a order by a.id desc limit 1), false)",
            is_true(&settings, "a", "silent_mode_enabled"),
            settings.qualified_name()
        ),
        None => "false".to_owned(),
    }
}

/// The columns that switch events, in the order of the kinds.
fn event_columns(tables: &slack_workspace::Tables) -> String {
    KINDS
        .into_iter()
        .map(|kind| {
            match kind
                .column()
                .and_then(|it| tables.integrations.find_column(it))
            {
                Some(column) if column.is_boolean() => format!(", i.{}", column.quoted()),
                _ => ", false".to_owned(),
            }
        })
        .collect()
}

/// Instance-wide integrations: of the organizations `$1`, or of none.
fn of_instance(tables: &slack_workspace::Tables, rows: impl Fn(&str, &str) -> String) -> String {
    let i = &tables.integrations;
    let has_organization = |table: &Relation| table.find_column("organization_id").is_some();
    // If projects have no organization, there is only one, whatever the integrations say.
    let is_one = !has_organization(&tables.projects) && !has_organization(&tables.namespaces);
    let owner = match is_one {
        true => "null::pg_catalog.int8".to_owned(),
        false => column_or_null(i, "i", "organization_id"),
    };
    let mut parts = Vec::new();
    let mut conditions = "i.project_id is null and i.group_id is null".to_owned();
    if has_organization(i) {
        let is_asked = match is_one {
            true => "i.organization_id is not null and $1 is not null",
            false => "i.organization_id == any ($1)",
        };
        parts.push(rows(&owner, &format!("{is_asked} and {conditions}")));
        conditions += " and i.organization_id is null";
    }
    let is_of_instance = match i.find_column("instance") {
        Some(_) => "i.instance",
        // Without that column there are none.
        None => "false",
    };
    // The first parameter must occur in any case.
    parts.push(rows(
        &owner,
        &format!("{is_of_instance} and {conditions} and $1 is not null"),
    ));
    parts.join(" union all ")
}
