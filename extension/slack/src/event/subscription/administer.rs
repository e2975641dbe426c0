//! Subscriptions as administrators see and change them.

use super::kind::{Wanted, channel, events, routes};
use super::listed::{allowed, conditions_of, listed, project};
use crate::error::{OrRaise, Result, SlackError, SubscriptionError, required};
use crate::event::tables::Tables;
use crate::slack_workspace::{self, lock_team, with_token};
use crate::subscription::{self, Choice, Place};
use lockstep_server::Jsonb;
use pgrx::JsonB;
use pgrx::prelude::*;

/// Subscribes a channel to a project.
#[pg_extern(sql = r#"
create function lockstep.subscribe_slack_channel(project_id bigint, team_id text, channel text, events text[] default null,
  routes jsonb default null, schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.subscribe_slack_channel(bigint, text, text, text[], jsonb, text) is
  'lets a channel of a Slack workspace that has the app follow a project, also beside the project''s integration; the events are those named, else as they are, and of a new subscription the default, as with an empty array; an event that routes are for, with the conditions of an integration''s routes, must fulfil those of one; returns the id of the subscription';
revoke execute on function lockstep.subscribe_slack_channel(bigint, text, text, text[], jsonb, text) from public;
grant execute on function lockstep.subscribe_slack_channel(bigint, text, text, text[], jsonb, text) to lockstep_admin;
"#)]
fn subscribe_slack_channel(
    project_id: Option<i64>,
    team_id: Option<&str>,
    channel: Option<&str>,
    events: Option<Vec<Option<String>>>,
    routes: Option<Jsonb>,
    schema: Option<&str>,
) -> i64 {
    let id = required(project_id, "project_id");
    let team = required(team_id, "team_id");
    let given = required(channel, "channel");
    let schema = required(schema, "schema");
    subscribe((id, team, given), (events, routes), schema).or_raise()
}

fn subscribe(
    (id, team, given): (i64, &str, &str),
    (given_events, given_routes): (Option<Vec<Option<String>>>, Option<Jsonb>),
    schema: &str,
) -> Result<i64> {
    let tables = Tables::attached(schema)?;
    let channel = channel(given)?;
    let choice = Choice {
        events: given_events.map(events).transpose()?,
        routes: given_routes.map(|given| routes(&given.0)).transpose()?,
    };
    let Some((_, path)) = project(&tables, id) else {
        let column = "project_id";
        return Err(SlackError::NoSuchOwner { column, id }.into());
    };
    lock_team(&tables, team);
    if !with_token(schema, [team].into_iter())?.contains(team) {
        let team = team.to_owned();
        return Err(SubscriptionError::NoApp { team }.into());
    }
    let place = Place {
        schema,
        project: id,
        team,
        channel: &channel,
    };
    let written = subscription::write(place, &choice, None)?;
    let (subscription, _) = written.ok_or_else(|| SubscriptionError::Busy {
        project: path,
        channel: channel.clone(),
    })?;
    Ok(subscription.id)
}

/// Ends a subscription.
#[pg_extern(sql = r#"
create function lockstep.unsubscribe_slack_channel(project_id bigint, team_id text, channel text, schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.unsubscribe_slack_channel(bigint, text, text, text) is
  'ends the subscription of a channel to a project, under the channel''s name and its id; what waits for it is not sent; returns whether there was one';
revoke execute on function lockstep.unsubscribe_slack_channel(bigint, text, text, text) from public;
grant execute on function lockstep.unsubscribe_slack_channel(bigint, text, text, text) to lockstep_admin;
"#)]
fn unsubscribe_slack_channel(
    project_id: Option<i64>,
    team_id: Option<&str>,
    channel: Option<&str>,
    schema: Option<&str>,
) -> bool {
    let project = required(project_id, "project_id");
    let team = required(team_id, "team_id");
    let given = required(channel, "channel");
    let schema = required(schema, "schema");
    unsubscribe(project, team, given, schema).or_raise()
}

/// The project, or its table's attachment, may be gone.
fn unsubscribe(project: i64, team: &str, given: &str, schema: &str) -> Result<bool> {
    lockstep_server::host::check_schema(schema)?;
    if let Ok(tables) = slack_workspace::Tables::attached(schema) {
        lock_team(&tables, team);
    }
    let channel = channel(given)?;
    let place = Place {
        schema,
        project,
        team,
        channel: &channel,
    };
    subscription::remove(schema, &subscription::find(place)?, None)
}

/// Lists subscriptions.
#[pg_extern(sql = r#"
create function lockstep.slack_subscriptions(project_id bigint default null, team_id text default null, schema text default 'public')
returns table (subscription_id bigint, project_id bigint, path text, team_id text, channel text, events text[], routes jsonb, workspace_id text, user_id text,
               is_allowed boolean, since timestamptz, state text, error text, needed text, failures bigint, failed_at timestamptz)
language c rows 100 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.slack_subscriptions(bigint, text, text) is
  'the channels that follow projects, of one project, of one Slack workspace, or all; who subscribed (null: an administrator) and whether that user still could; active, or why nothing is sent; what Slack says of a channel that it does not take messages for';
revoke execute on function lockstep.slack_subscriptions(bigint, text, text) from public;
grant execute on function lockstep.slack_subscriptions(bigint, text, text) to lockstep_admin;
"#)]
#[allow(clippy::type_complexity)]
fn slack_subscriptions(
    project_id: Option<i64>,
    team_id: Option<&str>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(subscription_id, i64),
        name!(project_id, i64),
        name!(path, Option<String>),
        name!(team_id, String),
        name!(channel, String),
        name!(events, Vec<&'static str>),
        name!(routes, Option<JsonB>),
        name!(workspace_id, Option<String>),
        name!(user_id, Option<String>),
        name!(is_allowed, Option<bool>),
        name!(since, Option<TimestampWithTimeZone>),
        name!(state, &'static str),
        name!(error, Option<String>),
        name!(needed, Option<String>),
        name!(failures, i64),
        name!(failed_at, Option<TimestampWithTimeZone>),
    ),
> {
    let schema = required(schema, "schema");
    let found = || -> Result<_> {
        let found = subscription::list(schema, project_id, team_id)?;
        let listed = listed(&Tables::attached(schema)?, found)?;
        let allowed = allowed(schema, &listed)?;
        Ok(listed.into_iter().zip(allowed))
    };
    TableIterator::new(found().or_raise().map(|(it, is_allowed)| {
        let subscription = it.subscription;
        let events = Wanted::by(&subscription).names();
        let routes = conditions_of(&subscription);
        let (workspace, user) = match subscription.by {
            Some(by) => (Some(by.workspace), Some(by.user)),
            None => (None, None),
        };
        let trouble = subscription.trouble;
        let failures = trouble.as_ref().map_or(0, |it| it.failures);
        let failed_at = trouble.as_ref().and_then(|it| it.last_at);
        let (error, needed) = match trouble {
            Some(it) => (Some(it.error), it.needed),
            None => (None, None),
        };
        (
            subscription.id,
            subscription.project,
            it.path,
            subscription.team,
            subscription.channel,
            events,
            routes,
            workspace,
            user,
            is_allowed,
            subscription.since,
            it.state,
            error,
            needed,
            failures,
            failed_at,
        )
    }))
}
