//! The owner of an integration: a project, a group or an organization.

use super::known::Tables;
use super::lock;
use super::tables::Host;
use crate::error::{Result, SlackError};
use lockstep_server::host::{NOW, path_of, qualified};
use lockstep_server::{Statement, View, datum};
use pgrx::pg_sys;

/// The application's class name for Slack app integrations.
pub(crate) const CLASS: &str = "Integrations::GitlabSlackApplication";
const CATEGORY: &str = "chat";

/// The alias of an instance-wide integration.
const INSTANCE: &str = "_gitlab-instance";

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Project,
    Group,
    Organization,
}

#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) kind: Kind,
    pub(crate) id: i64,
}

/// How often to look for an integration and try to create it.
const MOST_TRIES: usize = 3;

impl Owner {
    /// The given owner, if any; giving two is an error.
    pub(crate) fn of(
        project: Option<i64>,
        group: Option<i64>,
        organization: Option<i64>,
    ) -> Result<Option<Self>> {
        match (project, group, organization) {
            (None, None, None) => Ok(None),
            (Some(id), None, None) => Ok(Some(Self {
                kind: Kind::Project,
                id,
            })),
            (None, Some(id), None) => Ok(Some(Self {
                kind: Kind::Group,
                id,
            })),
            (None, None, Some(id)) => Ok(Some(Self {
                kind: Kind::Organization,
                id,
            })),
            _ => Err(SlackError::Owners.into()),
        }
    }

    /// As stored: project, group, organization.
    pub(crate) fn columns(self) -> [Option<i64>; 3] {
        match self.kind {
            Kind::Project => [Some(self.id), None, None],
            Kind::Group => [None, Some(self.id), None],
            Kind::Organization => [None, None, Some(self.id)],
        }
    }

    fn column(self) -> &'static str {
        match self.kind {
            Kind::Project => "project_id",
            Kind::Group => "group_id",
            Kind::Organization => "organization_id",
        }
    }

    /// The prefix of the last part of a second alias.
    pub(crate) fn letter(self) -> &'static str {
        match self.kind {
            Kind::Project => "p",
            Kind::Group => "g",
            Kind::Organization => "o",
        }
    }

    fn error(self) -> SlackError {
        SlackError::NoSuchOwner {
            column: self.column(),
            id: self.id,
        }
    }

    /// Its full path, which is its default alias. The owner must exist.
    pub(crate) fn path(self, tables: &Tables) -> Result<String> {
        self.find_path(tables)?.ok_or_else(|| self.error().into())
    }

    /// Its full path, if it exists.
    pub(crate) fn find_path(self, tables: &Tables) -> Result<Option<String>> {
        let text = match self.kind {
            Kind::Project => format!(
                "select {} operator(pg_catalog.||) '/' operator(pg_catalog.||) p.path::pg_catalog.text
                   from {} p join {} n on n.id == p.namespace_id where p.id == $1",
                path_of(&tables.namespaces, "n"),
                tables.projects.qualified_name(),
                tables.namespaces.qualified_name()
            ),
            Kind::Group => format!(
                "select {} from {} g where g.id == $1",
                path_of(&tables.namespaces, "g"),
                tables.namespaces.qualified_name()
            ),
            Kind::Organization => match &tables.organizations {
                Some(table) => format!(
                    "select '{INSTANCE}'::pg_catalog.text from {} o where o.id == $1",
                    table.qualified_name()
                ),
                None => return Err(self.error().into()),
            },
        };
        let query = Statement::new(&qualified(&text), &[pg_sys::INT8OID]);
        let mut path = None;
        tables.as_owner(|| {
            query.rows(View::Newest, &[datum(self.id)], |row| {
                path = row.get::<String>(1);
            });
        });
        Ok(path)
    }

    /// The workspace that it is connected to now: id and name.
    pub(crate) fn workspace(self, tables: &Tables) -> Option<(String, String)> {
        let column = self.column();
        tables.integrations.find_column(column)?;
        let query = Statement::new(
            &qualified(&format!(
                "select s.team_id::pg_catalog.text, s.team_name::pg_catalog.text from {} i join {} s on s.integration_id == i.id
                  where i.{column} == $1 and i.type_new == $2 order by s.id limit 1",
                tables.integrations.qualified_name(),
                tables.slack.qualified_name()
            )),
            &[pg_sys::INT8OID, pg_sys::TEXTOID],
        );
        let mut found = None;
        tables.as_owner(|| {
            query.rows(View::Newest, &[datum(self.id), datum(CLASS)], |row| {
                found = row.get(1).zip(row.get(2));
            });
        });
        found
    }

    /// Its Slack app integration, active from now on and locked.
    pub(crate) fn integration(self, tables: &Tables) -> Result<i64> {
        let column = self.column();
        if tables.integrations.find_column(column).is_none() {
            return Err(self.error().into());
        }
        lock::owner(tables.integrations.oid, &format!("{column} {}", self.id));
        let i = tables.integrations.qualified_name();
        let find = Statement::new(
            &qualified(&format!(
                "select i.id::pg_catalog.int8, i.active from {i} i
                  where i.{column} == $1 and i.type_new == $2 order by i.id limit 1 for no key update"
            )),
            &[pg_sys::INT8OID, pg_sys::TEXTOID],
        );
        let activate = Statement::new(
            &qualified(&format!(
                "update {i} i set active = true, updated_at = {NOW} where i.id == $1"
            )),
            &[pg_sys::INT8OID],
        );
        let (events, values) = self.event_columns(tables);
        let create = Statement::new(
            &format!(
                "insert into {i} as i ({column}, type_new, category, active, created_at, updated_at{events})
                 values ($1, $2, $3, true, {NOW}, {NOW}{values}) on conflict do nothing returning i.id::pg_catalog.int8, true"
            ),
            &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::TEXTOID],
        );
        let [id, class, category] = [datum(self.id), datum(CLASS), datum(CATEGORY)];
        let mut found: Option<(i64, bool)> = None;
        for _ in 0..MOST_TRIES {
            tables.as_owner(|| {
                find.rows(View::Newest, &[id, class], |row| {
                    found = row.get(1).zip(row.get(2));
                });
                if found.is_none() {
                    create.rows(View::Newest, &[id, class, category], |row| {
                        found = row.get(1).zip(row.get(2));
                    });
                }
                if let Some((integration, false)) = found {
                    activate.run(&[datum(integration)]);
                }
            });
            // Otherwise a session that does not take the lock has created one just now.
            if let Some((integration, _)) = found {
                return Ok(integration);
            }
        }
        // A trigger of the application rejects it.
        Err(SlackError::NotInserted.into())
    }

    /// Events are off until somebody turns them on: the columns and values for an insert.
    fn event_columns(self, tables: &Tables) -> (String, String) {
        let columns = event_columns(tables);
        let mut names: String = columns
            .iter()
            .map(|(_, column)| format!(", {column}"))
            .collect();
        let mut values = ", false".repeat(columns.len());
        if matches!(self.kind, Kind::Organization)
            && tables.integrations.find_column("instance").is_some()
        {
            names += ", instance";
            values += ", true";
        }
        (names, values)
    }
}

/// The events that integrations can be notified of, in alphabetical order: name and quoted column.
pub(crate) fn event_columns(tables: &Host) -> Vec<(String, String)> {
    let columns = tables.integrations.columns();
    let settable = columns
        .iter()
        .filter(|column| column.is_boolean() && !column.is_generated());
    let mut events: Vec<(String, String)> = settable
        .filter_map(|column| {
            let event = column.name.strip_suffix("_events")?;
            Some((event.to_owned(), column.quoted()))
        })
        .collect();
    events.sort_unstable();
    events
}
