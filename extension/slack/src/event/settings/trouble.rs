//! Channels that integrations cannot reach now: of those that they still notify.

use super::effective as settings;
use super::gone;
use crate::error::{OrRaise, Result, required};
use crate::event::tables::Tables;
use crate::slack_workspace::with_token;
use crate::subscription;
use lockstep_server::kept;
use lockstep_server::{Answer, OwnStatement, attempt, datum, keys_argument};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

struct Statements {
    latest: OwnStatement,
    of_integrations: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        // The expression keeps the planner from an index that begins with the schema: that would be read as a whole.
        latest: OwnStatement::new(
            "select t.* from (
               select o.integration_id, o.team_id, o.channel, o.error, o.needed, o.failures, o.since, o.last_at
                 from lockstep_internal.slack_channel_trouble o where o.schema || '' = $1 order by o.last_at desc limit $2) t
              order by t.integration_id, t.team_id collate \"C\", t.channel collate \"C\"",
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        of_integrations: OwnStatement::by_index(
            "select t.integration_id, t.team_id, t.channel, t.error, t.needed, t.failures, t.since, t.last_at
               from unnest($2) i (id) join lockstep_internal.slack_channel_trouble t on t.schema = $1 and t.integration_id = i.id
              order by t.integration_id, t.team_id collate \"C\", t.channel collate \"C\"",
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
    };
}

/// A report of a whole schema looks at so many, those that failed last: reading the settings of more takes too long.
const MOST: i64 = 1_000;

pub(crate) struct Trouble {
    /// None for a subscription.
    integration: Option<i64>,
    pub(crate) team: String,
    pub(crate) channel: String,
    pub(crate) error: String,
    pub(crate) needed: Option<String>,
    pub(crate) failures: i64,
    pub(crate) since: Option<TimestampWithTimeZone>,
    pub(crate) last_at: Option<TimestampWithTimeZone>,
}

/// Those of the integrations, or the latest of all. Whatever shows troubles asks this.
pub(crate) fn troubles(schema: &str, integrations: Option<&[i64]>) -> Result<Vec<Trouble>> {
    let mut found: Vec<Trouble> = Vec::new();
    let mut read = |row: &Answer| {
        found.push(Trouble {
            integration: row.get(1),
            team: row.get(2).unwrap_or_default(),
            channel: row.get(3).unwrap_or_default(),
            error: row.get(4).unwrap_or_default(),
            needed: row.get(5),
            failures: row.get(6).unwrap_or_default(),
            since: row.get(7),
            last_at: row.get(8),
        });
    };
    STATEMENTS.with(|statements| match integrations {
        Some(integrations) => {
            let mut integrations = integrations.to_vec();
            integrations.sort_unstable();
            integrations.dedup();
            let arguments = [datum(schema), keys_argument(&integrations)];
            statements.of_integrations.rows(&arguments, &mut read)
        }
        None => {
            let arguments = [datum(schema), datum(MOST)];
            statements.latest.rows(&arguments, &mut read)
        }
    })?;
    if !found.is_empty() {
        leave_out_untold(schema, &mut found)?;
    }
    if integrations.is_none() {
        found.extend(of_subscriptions(schema)?);
    }
    Ok(found)
}

/// Others are gone, or notify other channels now: of their own, or of those that they inherit.
fn leave_out_untold(schema: &str, found: &mut Vec<Trouble>) -> Result<()> {
    let tables = Tables::attached(schema)?;
    let troubled: BTreeSet<i64> = found.iter().filter_map(|it| it.integration).collect();
    let parents = gone::parents(&tables, &troubled);
    let settings = settings::effective(&tables, parents.into_iter())?;
    found.retain(|it| {
        let settings = it.integration.and_then(|id| settings.get(&id));
        settings.is_some_and(|found| {
            let channels = found.settings.all_channels();
            channels.contains(&it.channel.as_str())
        })
    });
    Ok(())
}

/// Those of channels that follow a project, also where nothing is tried because the workspace has no token.
fn of_subscriptions(schema: &str) -> Result<Vec<Trouble>> {
    let mut found: Vec<Trouble> = Vec::new();
    let followers = subscription::followers(schema)?;
    let teams = with_token(schema, followers.iter().map(String::as_str))?;
    for team in followers.iter().filter(|team| !teams.contains(*team)) {
        let held = subscription::of_team(schema, team, None, MOST)?;
        found.extend(held.into_iter().map(|it| Trouble {
            integration: None,
            team: it.team,
            channel: it.channel,
            error: "not_installed".to_owned(),
            needed: None,
            failures: 0,
            since: it.since,
            last_at: it.since,
        }));
    }
    let failing = subscription::troubled(schema, MOST)?.into_iter();
    let failing = failing.filter(|it| teams.contains(&it.team));
    found.extend(failing.filter_map(|it| {
        let of = it.trouble?;
        Some(Trouble {
            integration: None,
            team: it.team,
            channel: it.channel,
            error: of.error,
            needed: of.needed,
            failures: of.failures,
            since: of.since,
            last_at: of.last_at,
        })
    }));
    Ok(found)
}

/// For reports. Of a whole schema: a row of nulls if they are not known.
#[pg_extern(sql = r#"
create function lockstep_internal.channel_troubles(schema text, integrations bigint[] default null)
returns table (integration_id bigint, team_id text, channel text, error text, needed text, failures bigint, since timestamptz, last_at timestamptz)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.channel_troubles(text, bigint[]) is
  'the channels that integrations of a schema notify and cannot reach, each with the last error; of a whole schema also those of subscriptions, among the 1,000 of each that failed last, and a row of nulls if they cannot be read';
revoke execute on function lockstep_internal.channel_troubles(text, bigint[]) from public;
"#)]
#[allow(clippy::type_complexity)]
fn channel_troubles(
    schema: Option<&str>,
    integrations: Option<Vec<Option<i64>>>,
) -> TableIterator<
    'static,
    (
        name!(integration_id, Option<i64>),
        name!(team_id, Option<String>),
        name!(channel, Option<String>),
        name!(error, Option<String>),
        name!(needed, Option<String>),
        name!(failures, Option<i64>),
        name!(since, Option<TimestampWithTimeZone>),
        name!(last_at, Option<TimestampWithTimeZone>),
    ),
> {
    let schema = required(schema, "schema");
    let ids: Option<Vec<i64>> = integrations.map(|ids| ids.into_iter().flatten().collect());
    // A table's owner can make reading it fail, but must not take the report from others.
    let found = attempt(AssertUnwindSafe(|| {
        troubles(schema, ids.as_deref()).or_raise()
    }));
    let found = match found {
        Ok(found) => found.into_iter().map(Some).collect(),
        Err(failure) => {
            let said = format!(
                "channels of schema {schema} that cannot be reached are not known: {}",
                failure.message
            );
            match ids {
                // Asked every few seconds, by a report that shows it.
                None => {
                    debug1!("{said}");
                    vec![None]
                }
                Some(_) => {
                    warning!("{said}");
                    Vec::new()
                }
            }
        }
    };
    TableIterator::new(found.into_iter().map(|it: Option<Trouble>| match it {
        Some(it) => (
            it.integration,
            Some(it.team),
            Some(it.channel),
            Some(it.error),
            it.needed,
            Some(it.failures),
            it.since,
            it.last_at,
        ),
        None => (None, None, None, None, None, None, None, None),
    }))
}
