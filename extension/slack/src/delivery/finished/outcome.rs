//! Querying the outcome of deliveries, and retrying failed ones.

use crate::error::{OrRaise, Result, required};
use crate::event::{Trouble, channels_now, troubles};
use crate::held::DELIVERIES;
use crate::slack_workspace::destination_of;
use lockstep_server::host;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum, keys_argument, nullable};
use pgrx::pg_sys;
use pgrx::prelude::*;

struct Statements {
    retry: OwnStatement,
    results: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        retry: OwnStatement::by_index(
            // In a fixed order, for sessions that retry at the same time.
            "update lockstep_internal.slack_delivery d
                set status = 'waiting', is_parked = false, failures = 0, error = null, needed = null, done_at = null
               from (select o.id from lockstep_internal.slack_delivery o
                      where o.status = 'failed' and o.schema = $1 and ($2 is null or o.integration_id = $2)
                      order by o.id for no key update) o
              where d.id = o.id",
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
            &["id", "integration_id"],
        ),
        results: OwnStatement::by_index(
            "select d.id, d.status, d.error, d.needed from lockstep_internal.slack_delivery d where d.id = any ($1) order by d.id",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
    };
}

/// Queues failed deliveries again.
#[pg_extern(sql = r#"
create function lockstep.retry_deliveries(integration_id bigint default null, schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.retry_deliveries(bigint, text) is
  'lets deliveries of an integration, or of all, that failed within the last day wait again, in the order they had; returns how many';
revoke execute on function lockstep.retry_deliveries(bigint, text) from public;
grant execute on function lockstep.retry_deliveries(bigint, text) to lockstep_admin;
"#)]
fn retry_deliveries(integration_id: Option<i64>, schema: Option<&str>) -> i64 {
    let schema = required(schema, "schema");
    let arguments = [Some(datum(schema)), nullable(integration_id)];
    let retry = || -> Result<u64> {
        host::check_schema(schema)?;
        let deliveries =
            STATEMENTS.with(|statements| statements.retry.run_with_nulls(&arguments))?;
        if deliveries > 0 {
            wake(DELIVERIES);
        } else if let Some(integration) = integration_id {
            // An unknown id is most likely a typo.
            channels_now(schema, integration)?;
        }
        Ok(deliveries)
    };
    retry().or_raise() as i64
}

/// The channels that an integration cannot reach.
#[pg_extern(sql = r#"
create function lockstep.slack_channel_troubles(team_id text, enterprise_id text, slack_integration_id bigint, schema text default 'public')
returns table (channel text, error text, needed text, failures bigint, since timestamptz, last_at timestamptz)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.slack_channel_troubles(text, text, bigint, text) is
  'the channels that an integration of a Slack workspace cannot reach, each with the last error';
revoke execute on function lockstep.slack_channel_troubles(text, text, bigint, text) from public;
grant execute on function lockstep.slack_channel_troubles(text, text, bigint, text) to lockstep_admin;
"#)]
#[allow(clippy::type_complexity)]
fn slack_channel_troubles(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(channel, String),
        name!(error, String),
        name!(needed, Option<String>),
        name!(failures, i64),
        name!(since, Option<TimestampWithTimeZone>),
        name!(last_at, Option<TimestampWithTimeZone>),
    ),
> {
    let row = required(slack_integration_id, "slack_integration_id");
    let schema = required(schema, "schema");
    let found = troubles_of((team_id, enterprise_id), row, schema).or_raise();
    TableIterator::new(found.into_iter().map(|it| {
        (
            it.channel,
            it.error,
            it.needed,
            it.failures,
            it.since,
            it.last_at,
        )
    }))
}

fn troubles_of(
    of: (Option<&str>, Option<&str>),
    slack_integration: i64,
    schema: &str,
) -> Result<Vec<Trouble>> {
    let (team, integration) = destination_of(schema, of, slack_integration)?;
    let mut found = troubles(schema, Some(&[integration]))?;
    found.retain(|it| it.team == team);
    Ok(found)
}

type Outcome = (i64, String, Option<String>, Option<String>);

/// The outcome of deliveries.
#[pg_extern(sql = r#"
create function lockstep.delivery_results(deliveries bigint[])
returns table (delivery bigint, status text, error text, needed text)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.delivery_results(bigint[]) is
  'what became of deliveries: waiting, delivered or failed, with Slack''s name of the last error; no row for one that is gone';
revoke execute on function lockstep.delivery_results(bigint[]) from public;
grant execute on function lockstep.delivery_results(bigint[]) to lockstep_admin;
"#)]
#[allow(clippy::type_complexity)]
fn delivery_results(
    deliveries: Option<Vec<Option<i64>>>,
) -> TableIterator<
    'static,
    (
        name!(delivery, i64),
        name!(status, String),
        name!(error, Option<String>),
        name!(needed, Option<String>),
    ),
> {
    let deliveries = required(deliveries, "deliveries");
    let deliveries: Vec<i64> = deliveries.into_iter().flatten().collect();
    TableIterator::new(results(&deliveries).or_raise())
}

fn results(deliveries: &[i64]) -> Result<Vec<Outcome>> {
    let mut found = Vec::new();
    STATEMENTS.with(|statements| {
        statements
            .results
            .rows(&[keys_argument(deliveries)], |row| {
                found.push((
                    row.get(1).unwrap_or_default(),
                    row.get(2).unwrap_or_default(),
                    row.get(3),
                    row.get(4),
                ));
            })
    })?;
    Ok(found)
}
