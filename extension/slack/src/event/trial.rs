//! A test message to each channel of an integration.

use super::recipients::installations;
use super::settings::configure;
use super::tables::Tables;
use super::written::{NewDelivery, Source, channel, rows};
use crate::error::{EventError, OrRaise, Result, SlackError, required};
use crate::slack_workspace::{allowed, destinations};
use lockstep_server::random_bytes;
use pgrx::prelude::*;
use serde_json::json;

/// How many channels get a message at most, as in the application.
const MOST_CHANNELS: usize = 10;

/// Sends test messages for an integration.
#[pg_extern(sql = r#"
create function lockstep.test_slack_integration(integration_id bigint, schema text default 'public')
returns table (delivery bigint, channel text)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.test_slack_integration(bigint, text) is
  'sends a test message to the first ten channels of an integration, and returns the others without a delivery; lockstep.delivery_results shows the results';
revoke execute on function lockstep.test_slack_integration(bigint, text) from public;
grant execute on function lockstep.test_slack_integration(bigint, text) to lockstep_admin;
"#)]
fn test_slack_integration(
    integration_id: Option<i64>,
    schema: Option<&str>,
) -> TableIterator<'static, (name!(delivery, Option<i64>), name!(channel, String))> {
    let integration = required(integration_id, "integration_id");
    let schema = required(schema, "schema");
    let test = || test(&Tables::attached(schema)?, integration, None);
    TableIterator::new(test().or_raise())
}

/// Sends test messages for a workspace's integration.
#[pg_extern(sql = r#"
create function lockstep_api.test_slack_workspace_integration(team_id text, enterprise_id text, slack_integration_id bigint, user_id text,
  is_manager boolean, schema text default 'public')
returns table (delivery bigint, channel text)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.test_slack_workspace_integration(text, text, bigint, text, boolean, text) is
  'sends a test message to the channels of an integration of a Slack workspace, like lockstep.test_slack_integration; the user must manage it';
revoke execute on function lockstep_api.test_slack_workspace_integration(text, text, bigint, text, boolean, text) from public;
"#)]
fn test_slack_workspace_integration(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    user_id: Option<&str>,
    is_manager: Option<bool>,
    schema: Option<&str>,
) -> TableIterator<'static, (name!(delivery, Option<i64>), name!(channel, String))> {
    let row = required(slack_integration_id, "slack_integration_id");
    let user = required(user_id, "user_id");
    let is_manager = required(is_manager, "is_manager");
    let schema = required(schema, "schema");
    let test = || {
        let tables = Tables::attached(schema)?;
        let person = (user, is_manager);
        let (found, _) = allowed(&tables, schema, (team_id, enterprise_id), row, person)?;
        test(&tables, found.integration, Some(row))
    };
    TableIterator::new(test().or_raise())
}

/// The delivery (None if it was not tried) and the channel.
type Tried = (Option<i64>, String);

/// In the workspace with the given row, otherwise in all in which the integration notifies.
fn test(tables: &Tables, integration: i64, only: Option<i64>) -> Result<Vec<Tried>> {
    let settings = configure::of(tables, integration)?.settings;
    let mut installations = installations(tables, integration);
    installations.retain(|(row, _)| only.is_none_or(|only| only == *row));
    let Some((first, _)) = installations.first() else {
        return Err(EventError::NotInstalled { id: integration }.into());
    };
    let alias = destinations(&tables.schema, &[*first])?
        .remove(first)
        .map(|it| it.alias);
    let mut channels = settings.all_channels();
    if channels.is_empty() {
        return Err(EventError::NoChannels { id: integration }.into());
    }
    let untried = channels.split_off(channels.len().min(MOST_CHANNELS));
    let payload = json!({
        "object_kind": "lockstep_test",
        "integration": { "id": integration, "alias": alias },
    });
    let bytes = random_bytes::<16>().ok_or(SlackError::NoChance)?;
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let schema = tables.schema.as_str();
    let event = rows::NewEvent {
        key,
        project: None,
        payload: Some(payload.to_string().into()),
        request: None,
    };
    let events = rows::events(vec![event], schema)?;
    let mut places: Vec<(&str, &str, i64)> = Vec::new();
    for (row, team) in &installations {
        for channel in &channels {
            if !places.iter().any(|it| (it.0, it.1) == (team, *channel)) {
                places.push((team, channel, *row));
            }
        }
    }
    let rows = channel::rows(places.iter().map(|it| (it.0, it.1)).collect(), schema)?;
    let deliveries = places.iter().flat_map(|(team, name, row)| {
        let channel = rows.get(&(*team, *name)).copied();
        let event = events.values().next().copied();
        let delivery = event.zip(channel).map(|(event, channel)| NewDelivery {
            event,
            source: Source::Integration {
                id: integration,
                row: *row,
            },
            channel,
            mentions: None,
            wait: None,
        });
        delivery.map(|delivery| (delivery, (*name).to_owned()))
    });
    let (deliveries, names): (Vec<NewDelivery>, Vec<String>) = deliveries.unzip();
    let ids = rows::deliveries(&deliveries, schema)?;
    let tried = ids.into_iter().map(Some).zip(names);
    let untried = untried
        .into_iter()
        .map(|channel| (None, channel.to_owned()));
    Ok(tried.chain(untried).collect())
}
