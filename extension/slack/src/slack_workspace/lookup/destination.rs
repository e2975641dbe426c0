//! Where an integration sends to, and whose settings apply: what senders need from the application's tables.

use crate::error::{Result, SlackError};
use crate::slack_workspace::host::{Host, Tables, by_index, workspace};
use lockstep_server::host::qualified;
use lockstep_server::{Statement, View, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::BTreeMap;

/// More than groups can be nested; it also ends cycles.
const MOST_LEVELS: i32 = 30;

struct DestinationStatements {
    /// `$1` ids of Slack integrations.
    by_id: Statement,
    /// `$1` ids of integrations: id and parent.
    inherited: Statement,
    /// `$1` ids of integrations: id, each one above it, whether it is active.
    ancestors: Statement,
    /// `$1` team, `$2` id of a Slack integration: its integration.
    of_team: Statement,
}

/// An integration of a workspace.
pub(crate) struct Destination {
    pub(crate) team: String,
    pub(crate) alias: String,
    pub(crate) integration: i64,
    pub(crate) is_active: bool,
}

impl DestinationStatements {
    fn new(tables: &Host) -> Self {
        let s = tables.slack.qualified_name();
        let i = tables.integrations.qualified_name();
        let inherits = match tables.integrations.find_column("inherit_from_id") {
            Some(_) => "i.inherit_from_id::pg_catalog.int8",
            None => "null::pg_catalog.int8",
        };
        Self {
            by_id: by_index(
                &format!(
                    "select s.id::pg_catalog.int8, s.team_id::pg_catalog.text, s.alias::pg_catalog.text, i.id::pg_catalog.int8, i.active
                       from {s} s join {i} i on i.id == s.integration_id where s.id == any ($1)"
                ),
                &[pg_sys::INT8ARRAYOID],
            ),
            inherited: by_index(
                &format!("select i.id::pg_catalog.int8, {inherits} from {i} i where i.id == any ($1)"),
                &[pg_sys::INT8ARRAYOID],
            ),
            ancestors: by_index(
                &format!(
                    "with recursive up (id, active, above, level) as (
                       select i.id::pg_catalog.int8, i.active, {inherits}, 1 from {i} i where i.id == any ($1)
                       union all
                       select u.id, u.active, {inherits}, u.level operator(pg_catalog.+) 1 from up u join {i} i on i.id == u.above
                        where u.level operator(pg_catalog.<) {MOST_LEVELS})
                     select u.id, u.above, u.active from up u where u.above is not null"
                ),
                &[pg_sys::INT8ARRAYOID],
            ),
            of_team: Statement::new(
                &qualified(&format!(
                    "select s.integration_id::pg_catalog.int8 from {s} s where s.team_id == $1 and s.id == $2"
                )),
                &[pg_sys::TEXTOID, pg_sys::INT8OID],
            ),
        }
    }
}

/// An error unless the schema's Slack integrations are attached.
pub(crate) fn check_attached(schema: &str) -> Result<()> {
    Tables::attached(schema).map(|_| ())
}

/// Those of these Slack integrations that exist, by id.
pub(crate) fn destinations(schema: &str, ids: &[i64]) -> Result<BTreeMap<i64, Destination>> {
    let tables = Tables::attached(schema)?;
    let mut found = BTreeMap::new();
    let statements = tables.prepared(DestinationStatements::new);
    tables.as_owner(|| {
        let query = &statements.by_id;
        query.rows(View::Newest, &[keys_argument(ids)], |row| {
            let destination = Destination {
                team: row.get(2).unwrap_or_default(),
                alias: row.get(3).unwrap_or_default(),
                integration: row.get(4).unwrap_or_default(),
                is_active: row.get(5).unwrap_or_default(),
            };
            found.insert(row.get(1).unwrap_or_default(), destination);
        });
    });
    Ok(found)
}

/// The parents of these integrations, as far as they have one.
pub(crate) fn inherited(schema: &str, integrations: &[i64]) -> Result<BTreeMap<i64, i64>> {
    let tables = Tables::attached(schema)?;
    let mut found = BTreeMap::new();
    let statements = tables.prepared(DestinationStatements::new);
    tables.as_owner(|| {
        let query = &statements.inherited;
        query.rows(View::Newest, &[keys_argument(integrations)], |row| {
            found.extend(row.get::<i64>(1).zip(row.get::<i64>(2)));
        });
    });
    Ok(found)
}

/// Those of these integrations that inherit from others: each with all above it, and whether it is active.
pub(crate) fn ancestors(schema: &str, integrations: &[i64]) -> Result<BTreeMap<(i64, i64), bool>> {
    let tables = Tables::attached(schema)?;
    let mut found = BTreeMap::new();
    let statements = tables.prepared(DestinationStatements::new);
    tables.as_owner(|| {
        let query = &statements.ancestors;
        query.rows(View::Newest, &[keys_argument(integrations)], |row| {
            if let (Some(id), Some(above)) = (row.get(1), row.get(2)) {
                found.insert((id, above), row.get(3) == Some(true));
            }
        });
    });
    Ok(found)
}

/// The workspace of a Slack request, and the integration of one of its rows.
pub(crate) fn destination_of(
    schema: &str,
    (team, enterprise): (Option<&str>, Option<&str>),
    row: i64,
) -> Result<(String, i64)> {
    let tables = Tables::attached(schema)?;
    let team = workspace(&tables, team, enterprise)?;
    let mut integration = None;
    let statements = tables.prepared(DestinationStatements::new);
    tables.as_owner(|| {
        statements.of_team.rows(
            View::Newest,
            &[datum(team.as_str()), datum(row)],
            |answer| integration = answer.get(1),
        );
    });
    match integration {
        Some(integration) => Ok((team, integration)),
        None => Err(SlackError::NoSuchRow { id: row, team }.into()),
    }
}
