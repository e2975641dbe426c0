//! Queries on the application's tables that list integrations. Users wait for them, and starting a query takes longer than
//! reading a row: so they read plain columns, and paths are assembled here.

use crate::slack_workspace::host::{Host, by_index, event_columns, owner_or};
use lockstep_server::host::way_to;
use lockstep_server::{Answer, Statement, View, keys_argument};
use pgrx::pg_sys::{self, Datum, Oid};
use std::collections::{BTreeMap, BTreeSet};

/// The number of columns before those of the events.
const COLUMNS_BEFORE_EVENTS: usize = 12;

/// An integration, as it is listed.
pub(super) type Listed = (
    i64,
    i64,
    String,
    String,
    Option<String>,
    bool,
    Vec<String>,
    Vec<String>,
    bool,
    String,
    bool,
    bool,
);

pub(super) struct Listings {
    /// `$1` team, `$2` part of an alias, `$3` id, `$4` maximum rows.
    pub(super) all: Listing,
    /// `$1` teams, `$2` aliases.
    pub(super) by_alias: Listing,
    /// Names of the namespaces with ids `$1`.
    paths: Statement,
}

pub(super) struct Listing {
    query: Statement,
    /// The events in the columns after [`COLUMNS_BEFORE_EVENTS`].
    events: Vec<String>,
}

/// An integration, as found.
pub(super) struct Found {
    /// Of the team and alias that were asked for, from 1.
    pub(super) place: i64,
    pub(super) id: i64,
    pub(super) integration: i64,
    alias: String,
    project: Option<String>,
    pub(super) project_id: Option<i64>,
    pub(super) is_group: bool,
    /// From the root to the project's namespace, or to the group itself.
    namespaces: Vec<i64>,
    is_active: bool,
    events: Vec<String>,
    scopes: Vec<String>,
    has_token: bool,
    user: String,
}

impl Listings {
    pub(super) fn new(tables: &Host) -> Self {
        let paths = format!(
            "select n.id::pg_catalog.int8, n.path::pg_catalog.text from {} n where n.id == any ($1)",
            tables.namespaces.qualified_name()
        );
        Self {
            all: Listing::new(tables, &ALL),
            by_alias: Listing::new(tables, &BY_ALIAS),
            paths: by_index(&paths, &[pg_sys::INT8ARRAYOID]),
        }
    }
}

/// How rows are chosen.
struct Choice {
    place: &'static str,
    from: &'static str,
    condition: &'static str,
    order: &'static str,
    parameters: &'static [Oid],
}

const ALL: Choice = Choice {
    place: "1::pg_catalog.int8",
    from: "",
    condition: "s.team_id == $1 and ($3 is null or s.id == $3)
                 and ($2 is null or pg_catalog.strpos(pg_catalog.lower(s.alias), pg_catalog.lower($2)) operator(pg_catalog.>) 0)",
    order: "order by s.alias::pg_catalog.text collate \"C\" limit $4",
    parameters: &[
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::INT8OID,
        pg_sys::INT4OID,
    ],
};

/// The application's index finds the single row of an alias in a team of thousands.
const BY_ALIAS: Choice = Choice {
    place: "w.place",
    from: "rows from (pg_catalog.unnest($1), pg_catalog.unnest($2)) with ordinality w (team, alias, place) cross join",
    condition: "s.team_id == w.team and s.alias == w.alias",
    order: "",
    parameters: &[pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID],
};

impl Listing {
    /// Planned once, because planning takes twenty times as long as listing a row.
    fn new(tables: &Host, choice: &Choice) -> Self {
        let (events, columns): (Vec<String>, Vec<String>) =
            event_columns(tables).into_iter().unzip();
        let columns: String = columns
            .iter()
            .map(|column| format!(", i.{column}"))
            .collect();
        let owner = |column| match tables.integrations.find_column(column) {
            Some(_) => owner_or(tables, column, &format!("i.{column}")),
            None => owner_or(tables, column, "null::pg_catalog.int8"),
        };
        let text = format!(
            "select s.id::pg_catalog.int8, i.id::pg_catalog.int8, s.alias::pg_catalog.text, p.path::pg_catalog.text, h.id::pg_catalog.int8,
                    {way}, i.active,
                    array(select c.name::pg_catalog.text from {links} l join {scopes} c on c.id == l.slack_api_scope_id
                           where l.slack_integration_id == s.id),
                    s.encrypted_bot_access_token is not null, s.user_id::pg_catalog.text, p.id::pg_catalog.int8, {place}{columns}
               from {from} {slack} s join {integrations} i on i.id == s.integration_id
               left join {projects} p on p.id == {project}
               left join {namespaces} h on h.id == coalesce(p.namespace_id, {group})
              where {condition} {order}",
            place = choice.place,
            from = choice.from,
            condition = choice.condition,
            order = choice.order,
            way = way_to(&tables.namespaces, "h"),
            project = owner("project_id"),
            group = owner("group_id"),
            slack = tables.slack.qualified_name(),
            links = tables.links.qualified_name(),
            scopes = tables.scopes.qualified_name(),
            integrations = tables.integrations.qualified_name(),
            projects = tables.projects.qualified_name(),
            namespaces = tables.namespaces.qualified_name(),
        );
        Self {
            query: by_index(&text, choice.parameters),
            events,
        }
    }

    /// The caller has the rights of the tables' owner.
    pub(super) fn append(&self, arguments: &[Option<Datum>], found: &mut Vec<Found>) {
        let query = &self.query;
        query.rows_with_nulls(View::Newest, arguments, |row| found.push(self.read(row)));
    }

    fn read(&self, row: &Answer) -> Found {
        let project: Option<String> = row.get(4);
        let namespace: Option<i64> = row.get(5);
        let mut namespaces: Vec<i64> = row.get(6).unwrap_or_default();
        if namespaces.is_empty() {
            namespaces.extend(namespace);
        }
        let mut scopes: Vec<String> = row.get(8).unwrap_or_default();
        scopes.sort_unstable();
        let is_on = |place: usize| row.get(COLUMNS_BEFORE_EVENTS + place) == Some(true);
        let events = (1..).zip(&self.events).filter(|(place, _)| is_on(*place));
        Found {
            place: row.get(12).unwrap_or_default(),
            id: row.get(1).unwrap_or_default(),
            integration: row.get(2).unwrap_or_default(),
            alias: row.get(3).unwrap_or_default(),
            is_group: project.is_none() && namespace.is_some(),
            project,
            project_id: row.get(11),
            namespaces,
            is_active: row.get(7).unwrap_or_default(),
            events: events.map(|(_, event)| event.clone()).collect(),
            scopes,
            has_token: row.get(9).unwrap_or_default(),
            user: row.get(10).unwrap_or_default(),
        }
    }
}

impl Found {
    pub(super) fn listed(
        self,
        paths: &Paths,
        troubled: &BTreeSet<i64>,
        followed: &BTreeSet<i64>,
    ) -> Listed {
        let owner = match (&self.project, self.is_group) {
            (Some(_), _) => "project",
            (None, true) => "group",
            (None, false) => "instance",
        };
        (
            self.id,
            self.integration,
            self.alias,
            owner.to_owned(),
            paths.of(&self.namespaces, self.project.as_deref()),
            self.is_active,
            self.events,
            self.scopes,
            self.has_token,
            self.user,
            troubled.contains(&self.integration),
            followed.contains(&self.integration),
        )
    }
}

/// The names of the integrations' namespaces.
pub(super) struct Paths(BTreeMap<i64, String>);

impl Paths {
    /// The caller has the rights of the tables' owner.
    pub(super) fn look_up(listings: &Listings, found: &[Found]) -> Self {
        let ids: BTreeSet<i64> = found
            .iter()
            .flat_map(|it| &it.namespaces)
            .copied()
            .collect();
        let mut paths = BTreeMap::new();
        if !ids.is_empty() {
            let ids: Vec<i64> = ids.into_iter().collect();
            let query = &listings.paths;
            query.rows(View::Newest, &[keys_argument(&ids)], |row| {
                if let (Some(id), Some(path)) = (row.get(1), row.get(2)) {
                    paths.insert(id, path);
                }
            });
        }
        Self(paths)
    }

    /// The full path; None without a namespace.
    fn of(&self, namespaces: &[i64], project: Option<&str>) -> Option<String> {
        let names = namespaces.iter().filter_map(|id| self.0.get(id));
        let parts: Vec<&str> = names.map(String::as_str).chain(project).collect();
        (!parts.is_empty()).then(|| parts.join("/"))
    }
}
