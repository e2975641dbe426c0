//! Subscriptions as Slack users make them, for channels of their own workspace.

use super::kind::{Wanted, channel, events, routes};
use super::listed::{asked, conditions_of, listed, project};
use crate::account::Accounts;
use crate::error::{OrRaise, Result, SubscriptionError, required};
use crate::event::settings::short;
use crate::event::tables::Tables;
use crate::slack_workspace::{check_max_rows, lock_team, project_of_path, with_token, workspace};
use crate::subscription::{self, Choice, Place, Subscriber, Subscription};
use lockstep_server::Jsonb;
use pgrx::JsonB;
use pgrx::prelude::*;

/// Users subscribe so many channels of a workspace to a project, as many as an integration has for an event.
const MOST_CHANNELS: i64 = 10;

/// Subscribes a channel for a Slack user.
#[pg_extern(sql = r#"
create function lockstep_api.subscribe_slack_project(team_id text, enterprise_id text, user_id text, project text, channel text,
  events text[] default null, routes jsonb default null, schema text default 'public')
returns table (path text, channel text, events text[], routes jsonb, outcome text)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.subscribe_slack_project(text, text, text, text, text, text[], jsonb, text) is
  'lets a channel of a Slack workspace follow a project, by its current or former path, for a user whose linked account maintains it: subscribed, changed, unchanged; else not_installed, not_linked, not_allowed or too_many, with nulls. Without that right the answer is the same whether there is such a project or not';
revoke execute on function lockstep_api.subscribe_slack_project(text, text, text, text, text, text[], jsonb, text) from public;
"#)]
#[allow(clippy::type_complexity, clippy::too_many_arguments)]
fn subscribe_slack_project(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    user_id: Option<&str>,
    project: Option<&str>,
    channel: Option<&str>,
    events: Option<Vec<Option<String>>>,
    routes: Option<Jsonb>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(path, Option<String>),
        name!(channel, Option<String>),
        name!(events, Option<Vec<&'static str>>),
        name!(routes, Option<JsonB>),
        name!(outcome, &'static str),
    ),
> {
    let user = required(user_id, "user_id");
    let path = required(project, "project");
    let given = required(channel, "channel");
    let schema = required(schema, "schema");
    let subscribe = || {
        let request = Request::of((team_id, enterprise_id), user, schema)?;
        request.subscribe(path, given, (events, routes))
    };
    TableIterator::once(subscribe().or_raise())
}

/// Ends a subscription for a Slack user.
#[pg_extern(sql = r#"
create function lockstep_api.unsubscribe_slack_project(team_id text, enterprise_id text, user_id text, project text, channel text,
  is_manager boolean default false, schema text default 'public')
returns table (path text, channel text, outcome text)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.unsubscribe_slack_project(text, text, text, text, text, boolean, text) is
  'ends the subscription of a channel of a Slack workspace to a project, for the user who made it, a maintainer with a linked account, or any, if is_manager: unsubscribed; else not_subscribed or not_allowed, with nulls';
revoke execute on function lockstep_api.unsubscribe_slack_project(text, text, text, text, text, boolean, text) from public;
"#)]
fn unsubscribe_slack_project(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    user_id: Option<&str>,
    project: Option<&str>,
    channel: Option<&str>,
    is_manager: Option<bool>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(path, Option<String>),
        name!(channel, Option<String>),
        name!(outcome, &'static str),
    ),
> {
    let user = required(user_id, "user_id");
    let path = required(project, "project");
    let given = required(channel, "channel");
    let is_manager = required(is_manager, "is_manager");
    let schema = required(schema, "schema");
    let unsubscribe = || {
        let request = Request::of((team_id, enterprise_id), user, schema)?;
        request.unsubscribe(path, given, is_manager)
    };
    TableIterator::once(unsubscribe().or_raise())
}

/// Lists a workspace's subscriptions.
#[pg_extern(sql = r#"
create function lockstep_api.list_slack_subscriptions(team_id text, enterprise_id text, max_rows integer default 100, schema text default 'public')
returns table (path text, channel text, events text[], routes jsonb, user_id text, state text, error text, needed text)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.list_slack_subscriptions(text, text, integer, text) is
  'the projects that channels of a Slack workspace follow, like lockstep.slack_subscriptions; also what its users have subscribed for their organization, before the workspace installed the app by itself';
revoke execute on function lockstep_api.list_slack_subscriptions(text, text, integer, text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn list_slack_subscriptions(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    max_rows: Option<i32>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(path, Option<String>),
        name!(channel, String),
        name!(events, Vec<&'static str>),
        name!(routes, Option<JsonB>),
        name!(user_id, Option<String>),
        name!(state, &'static str),
        name!(error, Option<String>),
        name!(needed, Option<String>),
    ),
> {
    let max_rows = required(max_rows, "max_rows");
    let schema = required(schema, "schema");
    let found = || {
        check_max_rows(max_rows)?;
        let tables = Tables::attached(schema)?;
        let team = workspace(&tables, team_id, enterprise_id)?;
        let most = i64::from(max_rows);
        let mut found = subscription::of_team(schema, &team, None, most)?;
        if let Some(organization) = organization(&team, enterprise_id) {
            let more = most - found.len() as i64;
            let of_organization = subscription::of_team(schema, organization, Some(&team), more)?;
            found.extend(of_organization);
        }
        listed(&tables, found)
    };
    TableIterator::new(found().or_raise().into_iter().map(|it| {
        let subscription = it.subscription;
        let events = Wanted::by(&subscription).names();
        let routes = conditions_of(&subscription);
        let (error, needed) = match subscription.trouble {
            Some(it) => (Some(it.error), it.needed),
            None => (None, None),
        };
        (
            it.path,
            subscription.channel,
            events,
            routes,
            subscription.by.map(|by| by.user),
            it.state,
            error,
            needed,
        )
    }))
}

/// The organization of a workspace that has installed the app by itself. What its users have subscribed before belongs to the
/// organization's installation, and goes on.
fn organization<'a>(team: &str, enterprise: Option<&'a str>) -> Option<&'a str> {
    enterprise.filter(|id| !id.is_empty() && *id != team)
}

/// A Slack user who asks for something.
struct Request {
    tables: Tables,
    team: String,
    organization: Option<String>,
    by: Subscriber,
}

/// Path, channel, events, conditions, and how it ended.
type Subscribed = (
    Option<String>,
    Option<String>,
    Option<Vec<&'static str>>,
    Option<JsonB>,
    &'static str,
);
type Unsubscribed = (Option<String>, Option<String>, &'static str);

impl Request {
    fn of(
        (of_user, enterprise): (Option<&str>, Option<&str>),
        user: &str,
        schema: &str,
    ) -> Result<Self> {
        let tables = Tables::attached(schema)?;
        let team = workspace(&tables, of_user, enterprise)?;
        let of_user = of_user.filter(|id| !id.is_empty()).unwrap_or(&team);
        Ok(Self {
            by: Subscriber {
                workspace: of_user.to_owned(),
                user: user.to_owned(),
            },
            organization: organization(&team, enterprise).map(str::to_owned),
            tables,
            team,
        })
    }

    fn subscribe(
        &self,
        path: &str,
        given: &str,
        (given_events, given_routes): (Option<Vec<Option<String>>>, Option<Jsonb>),
    ) -> Result<Subscribed> {
        let refused = |outcome| Ok((None, None, None, None, outcome));
        let schema = self.tables.schema.as_str();
        let channel = channel(given)?;
        let choice = Choice {
            events: given_events.map(events).transpose()?,
            routes: given_routes.map(|given| routes(&given.0)).transpose()?,
        };
        // Uninstalling takes it, too, and finds the subscription or leaves no token; and the number of channels stays what it is.
        self.lock();
        if !with_token(schema, [self.team.as_str()].into_iter())?.contains(&self.team) {
            return refused("not_installed");
        }
        let accounts = Accounts::find(schema)?;
        let accounts = accounts.filter(|it| it.is_linked(&self.by.workspace, &self.by.user));
        let Some(accounts) = accounts else {
            return refused("not_linked");
        };
        let Some((id, path)) = self.maintained(&accounts, path) else {
            return refused("not_allowed");
        };
        let known = self.find(id, &channel)?;
        if known.is_empty() && self.count(id)? >= MOST_CHANNELS {
            return refused("too_many");
        }
        let place = Place {
            team: known.first().map_or(&self.team, |it| &it.team),
            ..self.place(id, &channel)
        };
        let Some((it, written)) = subscription::write(place, &choice, Some(&self.by))? else {
            let project = path;
            return Err(SubscriptionError::Busy { project, channel }.into());
        };
        let names = Wanted::by(&it).names();
        let routes = conditions_of(&it);
        let channel = it.channel;
        Ok((
            Some(path),
            Some(channel),
            Some(names),
            routes,
            written.name(),
        ))
    }

    fn unsubscribe(&self, path: &str, given: &str, is_manager: bool) -> Result<Unsubscribed> {
        let refused = |outcome| Ok((None, None, outcome));
        let schema = self.tables.schema.as_str();
        let channel = channel(given)?;
        let Some(id) = project_of_path(&self.tables, path) else {
            return refused("not_subscribed");
        };
        self.lock();
        let found = self.find(id, &channel)?;
        let Some(first) = found.first() else {
            return refused("not_subscribed");
        };
        let is_own = found.iter().all(|it| it.by.as_ref() == Some(&self.by));
        let is_allowed = is_manager || is_own || {
            let accounts = Accounts::find(schema)?;
            accounts.is_some_and(|it| self.maintained(&it, path).is_some())
        };
        if !is_allowed {
            return refused("not_allowed");
        }
        if !subscription::remove(schema, &found, Some(&self.by))? {
            return refused("not_subscribed");
        }
        let path = project(&self.tables, id).map_or_else(|| short(path), |(_, path)| path);
        Ok((Some(path), Some(first.channel.clone()), "unsubscribed"))
    }

    /// In the same order for everybody who takes both.
    fn lock(&self) {
        if let Some(organization) = &self.organization {
            lock_team(&self.tables, organization);
        }
        lock_team(&self.tables, &self.team);
    }

    /// The subscriptions of a channel, also the one that a user of the workspace made for the organization.
    fn find(&self, project: i64, channel: &str) -> Result<Vec<Subscription>> {
        let place = self.place(project, channel);
        let mut found = subscription::find(place)?;
        if let Some(team) = self.organization.as_deref() {
            let of_organization = subscription::find(Place { team, ..place })?.into_iter();
            found.extend(of_organization.filter(|it| it.is_of_workspace(&self.by.workspace)));
        }
        Ok(found)
    }

    /// How many channels of the workspace follow a project.
    fn count(&self, project: i64) -> Result<i64> {
        let schema = self.tables.schema.as_str();
        let own = subscription::count(schema, project, &self.team)?;
        let Some(organization) = self.organization.as_deref() else {
            return Ok(own);
        };
        let all = subscription::list(schema, Some(project), Some(organization))?.into_iter();
        let of_organization = all.filter(|it| it.is_of_workspace(&self.by.workspace));
        Ok(own.saturating_add_unsigned(of_organization.count() as u64))
    }

    /// The project of that path and its current path, if the user's linked account maintains it.
    fn maintained(&self, accounts: &Accounts, path: &str) -> Option<(i64, String)> {
        let id = project_of_path(&self.tables, path)?;
        let (scope, path) = project(&self.tables, id)?;
        let asked = asked(&self.by, id, &scope)?;
        let holding = accounts.holding([asked].into());
        (!holding.is_empty()).then_some((id, path))
    }

    fn place<'a>(&'a self, project: i64, channel: &'a str) -> Place<'a> {
        Place {
            schema: self.tables.schema.as_str(),
            project,
            team: &self.team,
            channel,
        }
    }
}
