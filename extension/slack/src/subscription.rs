//! Which channels of which workspaces follow a project: the rows, and the record of each change. A project's integration has one
//! workspace, as in GitLab; everybody else who wants to follow the project subscribes a channel.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{Answer, OwnStatement, datum, keys_argument, nullable};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A channel that follows a project.
pub(crate) struct Subscription {
    pub(crate) id: i64,
    pub(crate) project: i64,
    pub(crate) team: String,
    pub(crate) channel: String,
    /// By name; empty for the default.
    pub(crate) events: Vec<String>,
    /// As they are stored.
    pub(crate) routes: String,
    pub(crate) by: Option<Subscriber>,
    pub(crate) since: Option<TimestampWithTimeZone>,
    pub(crate) trouble: Option<Trouble>,
}

/// A Slack user, and the workspace in which the account is linked: the app may be installed for its whole organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) workspace: String,
    pub(crate) user: String,
}

/// Why Slack does not take messages for the channel.
pub(crate) struct Trouble {
    pub(crate) error: String,
    pub(crate) needed: Option<String>,
    pub(crate) failures: i64,
    pub(crate) since: Option<TimestampWithTimeZone>,
    pub(crate) last_at: Option<TimestampWithTimeZone>,
}

/// Which channel of which workspace follows which project.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) schema: &'a str,
    pub(crate) project: i64,
    pub(crate) team: &'a str,
    pub(crate) channel: &'a str,
}

/// Which events a channel is to get. What is None stays as it is, and is the default of a new subscription.
#[derive(Clone, Default)]
pub(crate) struct Choice {
    pub(crate) events: Option<Vec<String>>,
    /// As they are stored.
    pub(crate) routes: Option<String>,
}

/// What a request to subscribe did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Subscribed,
    Changed,
    Unchanged,
}

impl Written {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

struct Own {
    of_projects: OwnStatement,
    following: OwnStatement,
    of_team: OwnStatement,
    listed: OwnStatement,
    followed: OwnStatement,
    any: OwnStatement,
    teams: OwnStatement,
    projects: OwnStatement,
    followers: OwnStatement,
    in_place: OwnStatement,
    add: OwnStatement,
    change: OwnStatement,
    find: OwnStatement,
    remove: OwnStatement,
    remove_team: OwnStatement,
    remove_projects: OwnStatement,
    troubled: OwnStatement,
    lock: OwnStatement,
    unreached: OwnStatement,
    trouble: OwnStatement,
    end_trouble: OwnStatement,
}

const COLUMNS: &str = "s.id, s.project_id, s.team_id, s.channel, s.events, s.workspace_id, s.user_id, s.since, s.error, s.needed, s.failures, s.failing_since, s.failed_at, s.routes::text";

const LISTED: &str = "order by s.project_id, s.team_id collate \"C\", s.channel collate \"C\"";

/// A statement that changes rows, and records each change. `$1` is the schema; the last two parameters are the user who asked for it.
fn recorded(change: &str, statement: &str, parameters: &[pg_sys::Oid]) -> OwnStatement {
    let by = parameters.len() - 1;
    OwnStatement::new(
        &format!(
            "with changed as ({statement} returning s.id, s.project_id, s.team_id, s.channel, s.events, s.routes),
                  recorded as (
                    insert into lockstep.slack_subscription_audit (schema, project_id, team_id, channel, change, events, routes, workspace_id, user_id)
                    select $1, c.project_id, c.team_id, c.channel, '{change}', c.events, c.routes, ${by}, ${} from changed c order by c.id)
             select c.id from changed c",
            by + 1
        ),
        parameters,
    )
}

kept! {
    static STATEMENTS: Own = Own {
        of_projects: OwnStatement::by_index(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.project_id = any ($2) order by s.id"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
        following: OwnStatement::by_index(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.project_id = any ($2) {LISTED} limit $3"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID, pg_sys::INT8OID],
            &["schema"],
        ),
        of_team: OwnStatement::by_index(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.team_id = $2 and ($3 is null or s.workspace_id = $3) {LISTED} limit $4"
            ),
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
            ],
            &["schema"],
        ),
        listed: OwnStatement::new(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and ($2 is null or s.project_id = $2) and ($3 is null or s.team_id = $3) {LISTED}"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTOID],
        ),
        followed: OwnStatement::by_index(
            "select distinct s.project_id from lockstep_internal.slack_subscription s where s.schema = $1 and s.project_id = any ($2)",
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
        any: OwnStatement::by_index(
            "select s.id from lockstep_internal.slack_subscription s where s.schema = $1 limit 1",
            &[pg_sys::TEXTOID],
            &["schema"],
        ),
        teams: OwnStatement::by_index(
            "select s.id, s.team_id from lockstep_internal.slack_subscription s where s.id = any ($1)",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        projects: OwnStatement::new(
            "select distinct s.project_id from lockstep_internal.slack_subscription s where s.schema = $1",
            &[pg_sys::TEXTOID],
        ),
        followers: OwnStatement::new(
            "select distinct s.team_id from lockstep_internal.slack_subscription s where s.schema = $1",
            &[pg_sys::TEXTOID],
        ),
        in_place: OwnStatement::by_index(
            "select count(*) from lockstep_internal.slack_subscription s where s.schema = $1 and s.project_id = $2 and s.team_id = $3",
            &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTOID],
            &["schema"],
        ),
        // Waits for another session that subscribes the same channel, and takes its place if that one rolls back.
        add: recorded(
            "subscribed",
            "insert into lockstep_internal.slack_subscription as s (schema, project_id, team_id, channel, events, routes, workspace_id, user_id)
             values ($1, $2, $3, $4, coalesce($5, '{}'), coalesce($6::jsonb, '[]'), $7, $8) on conflict (schema, project_id, team_id, channel) do nothing",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        // Who chose the events answers for them.
        change: recorded(
            "changed",
            "update lockstep_internal.slack_subscription s set events = coalesce($5, s.events), routes = coalesce($6::jsonb, s.routes), workspace_id = $7, user_id = $8
              where s.schema = $1 and s.project_id = $2 and s.team_id = $3 and s.channel = $4 and (s.events <> $5 or s.routes <> $6::jsonb)",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        // A channel may have been subscribed by its name, and by now be known by its id, or the other way round: then by both, too.
        find: OwnStatement::new(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                   left join lockstep_internal.slack_channel o on o.schema = $1 and o.team_id = $3 and o.channel = s.channel
                   left join lockstep_internal.slack_channel g on g.schema = $1 and g.team_id = $3 and g.channel = $4
                  where s.schema = $1 and s.project_id = $2 and s.team_id = $3
                    and coalesce(o.slack_id, s.channel) = coalesce(g.slack_id, $4)
                  order by s.channel = $4 desc, s.id"
            ),
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        remove: recorded(
            "unsubscribed",
            "delete from lockstep_internal.slack_subscription s
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.schema = $1 and o.id = any ($2) order by o.id for update))",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        // In a fixed order, because senders write several of them.
        remove_team: recorded(
            "uninstalled",
            "delete from lockstep_internal.slack_subscription s
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.schema = $1 and o.team_id = $2 order by o.id for update))",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        remove_projects: recorded(
            "project_gone",
            "delete from lockstep_internal.slack_subscription s
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.schema = $1 and o.project_id = any ($2)
                 order by o.id for update))",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        troubled: OwnStatement::new(
            &format!(
                "select {COLUMNS} from lockstep_internal.slack_subscription s
                  where s.schema = $1 and s.error is not null order by s.failed_at desc limit $2"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        lock: OwnStatement::by_index(
            "select from lockstep_internal.slack_subscription s where s.id = any ($1) order by s.id for no key update",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        unreached: OwnStatement::by_index(
            "select s.id from lockstep_internal.slack_subscription s where s.id = any ($1) and s.error is not null",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        trouble: OwnStatement::by_index(
            "update lockstep_internal.slack_subscription s
                set error = t.error, needed = t.needed, failures = s.failures + 1,
                    failing_since = coalesce(s.failing_since, clock_timestamp()), failed_at = clock_timestamp()
               from (select o.id, r.error, r.needed from unnest($1, $2, $3) r (id, error, needed)
                       join lockstep_internal.slack_subscription o on o.id = r.id order by o.id for no key update of o) t
              where s.id = t.id",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["id"],
        ),
        end_trouble: OwnStatement::by_index(
            "update lockstep_internal.slack_subscription s
                set error = null, needed = null, failures = 0, failing_since = null, failed_at = null
              where s.id = any (array(
                select o.id from lockstep_internal.slack_subscription o where o.id = any ($1) and o.error is not null
                 order by o.id for no key update))",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
    };
}

impl Subscription {
    /// Whether a user of that workspace subscribed it.
    pub(crate) fn is_of_workspace(&self, workspace: &str) -> bool {
        self.by.as_ref().is_some_and(|by| by.workspace == workspace)
    }

    fn read(row: &Answer) -> Self {
        let by = row.get(6).zip(row.get(7));
        let trouble = |error| Trouble {
            error,
            needed: row.get(10),
            failures: row.get(11).unwrap_or_default(),
            since: row.get(12),
            last_at: row.get(13),
        };
        Self {
            id: row.get(1).unwrap_or_default(),
            project: row.get(2).unwrap_or_default(),
            team: row.get(3).unwrap_or_default(),
            channel: row.get(4).unwrap_or_default(),
            events: row.get(5).unwrap_or_default(),
            by: by.map(|(workspace, user)| Subscriber { workspace, user }),
            routes: row.get(14).unwrap_or_default(),
            since: row.get(8),
            trouble: row.get(9).map(trouble),
        }
    }
}

/// Those that follow these projects, by id.
pub(crate) fn of_projects(schema: &str, projects: &[i64]) -> Result<Vec<Subscription>> {
    if projects.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = [datum(schema), keys_argument(projects)];
    read(|own| &own.of_projects, &arguments, Subscription::read)
}

/// The first of those that follow these projects, at most that many.
pub(crate) fn following(schema: &str, projects: &[i64], most: i64) -> Result<Vec<Subscription>> {
    if projects.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = [datum(schema), keys_argument(projects), datum(most)];
    read(|own| &own.following, &arguments, Subscription::read)
}

/// The first of those of a workspace or organization, at most that many; only those that users of one workspace of it made, if
/// that is given.
pub(crate) fn of_team(
    schema: &str,
    team: &str,
    workspace: Option<&str>,
    most: i64,
) -> Result<Vec<Subscription>> {
    let arguments = [
        Some(datum(schema)),
        Some(datum(team)),
        nullable(workspace),
        Some(datum(most)),
    ];
    read_with_nulls(|own| &own.of_team, &arguments, Subscription::read)
}

/// Those of a project, of a workspace, or all.
pub(crate) fn list(
    schema: &str,
    project: Option<i64>,
    team: Option<&str>,
) -> Result<Vec<Subscription>> {
    let arguments = [Some(datum(schema)), nullable(project), nullable(team)];
    read_with_nulls(|own| &own.listed, &arguments, Subscription::read)
}

/// Those of these projects that anybody follows.
pub(crate) fn followed(schema: &str, projects: &[i64]) -> Result<Vec<i64>> {
    if projects.is_empty() {
        return Ok(Vec::new());
    }
    let arguments = [datum(schema), keys_argument(projects)];
    let number = |row: &Answer| row.get(1).unwrap_or_default();
    read(|own| &own.followed, &arguments, number)
}

/// Whether anybody follows anything.
pub(crate) fn has_any(schema: &str) -> Result<bool> {
    let found = read(|own| &own.any, &[datum(schema)], |_| ())?;
    Ok(!found.is_empty())
}

/// The workspaces of those of these that there are.
pub(crate) fn teams(subscriptions: &[i64]) -> Result<BTreeMap<i64, String>> {
    let mut teams = BTreeMap::new();
    if !subscriptions.is_empty() {
        let arguments = [keys_argument(subscriptions)];
        STATEMENTS.with(|own| {
            own.teams.rows(&arguments, |row| {
                teams.extend(row.get::<i64>(1).zip(row.get::<String>(2)));
            })
        })?;
    }
    Ok(teams)
}

/// The projects that anybody follows.
pub(crate) fn projects(schema: &str) -> Result<Vec<i64>> {
    let number = |row: &Answer| row.get(1).unwrap_or_default();
    read(|own| &own.projects, &[datum(schema)], number)
}

/// The workspaces that follow anything.
pub(crate) fn followers(schema: &str) -> Result<Vec<String>> {
    let team = |row: &Answer| row.get(1).unwrap_or_default();
    read(|own| &own.followers, &[datum(schema)], team)
}

/// How many channels of a workspace follow a project.
pub(crate) fn count(schema: &str, project: i64, team: &str) -> Result<i64> {
    let mut count = 0;
    let arguments = [datum(schema), datum(project), datum(team)];
    STATEMENTS.with(|own| {
        own.in_place
            .rows(&arguments, |row| count = row.get(1).unwrap_or_default())
    })?;
    Ok(count)
}

/// How often to look for a row that another session adds and removes meanwhile.
const MOST_TRIES: usize = 3;

fn first(place: Place) -> Result<Option<Subscription>> {
    Ok(find(place)?.into_iter().next())
}

/// Subscribes a channel, or changes which events it gets. Returns the subscription, if it is still there: of a
/// channel that is subscribed under another name, that one.
pub(crate) fn write(
    place: Place,
    choice: &Choice,
    by: Option<&Subscriber>,
) -> Result<Option<(Subscription, Written)>> {
    for _ in 0..MOST_TRIES {
        let known = first(place)?.map(|it| it.channel);
        let place = Place {
            channel: known.as_deref().unwrap_or(place.channel),
            ..place
        };
        let arguments = [
            Some(datum(place.schema)),
            Some(datum(place.project)),
            Some(datum(place.team)),
            Some(datum(place.channel)),
            choice.events.clone().map(datum),
            nullable(choice.routes.as_deref()),
            nullable(by.map(|it| it.workspace.as_str())),
            nullable(by.map(|it| it.user.as_str())),
        ];
        let added = STATEMENTS.with(|own| id(&own.add, &arguments))?;
        let changed = match added {
            Some(_) => None,
            None => STATEMENTS.with(|own| id(&own.change, &arguments))?,
        };
        let written = match (added, changed) {
            (Some(_), _) => Written::Subscribed,
            (None, Some(_)) => Written::Changed,
            (None, None) => Written::Unchanged,
        };
        if let Some(it) = first(place)? {
            return Ok(Some((it, written)));
        }
    }
    Ok(None)
}

/// The subscriptions of a channel, by its name or its id: several if it was subscribed by both before they were known to be the same.
pub(crate) fn find(place: Place) -> Result<Vec<Subscription>> {
    let arguments = [
        datum(place.schema),
        datum(place.project),
        datum(place.team),
        datum(place.channel),
    ];
    read(|own| &own.find, &arguments, Subscription::read)
}

/// Returns whether any of them was still there.
pub(crate) fn remove(
    schema: &str,
    subscriptions: &[Subscription],
    by: Option<&Subscriber>,
) -> Result<bool> {
    let ids: Vec<i64> = subscriptions.iter().map(|it| it.id).collect();
    let arguments = [
        Some(datum(schema)),
        Some(keys_argument(&ids)),
        nullable(by.map(|it| it.workspace.as_str())),
        nullable(by.map(|it| it.user.as_str())),
    ];
    let removed = STATEMENTS.with(|own| id(&own.remove, &arguments))?;
    Ok(removed.is_some())
}

/// The app is gone from the workspace.
pub(crate) fn remove_of_team(schema: &str, team: &str) -> Result<()> {
    let arguments = [Some(datum(schema)), Some(datum(team)), None, None];
    STATEMENTS.with(|own| own.remove_team.run_with_nulls(&arguments))?;
    Ok(())
}

/// The projects are gone. Returns how many subscriptions were removed.
pub(crate) fn remove_of_projects(schema: &str, projects: &[i64]) -> Result<u64> {
    let arguments = [
        Some(datum(schema)),
        Some(keys_argument(projects)),
        None,
        None,
    ];
    STATEMENTS.with(|own| own.remove_projects.run_with_nulls(&arguments))
}

/// Those whose channels Slack does not take messages for, the latest failures first.
pub(crate) fn troubled(schema: &str, most: i64) -> Result<Vec<Subscription>> {
    let arguments = [datum(schema), datum(most)];
    read(|own| &own.troubled, &arguments, Subscription::read)
}

/// Those of these whose channels Slack does not take messages for.
pub(crate) fn unreached(subscriptions: &[i64]) -> Result<BTreeSet<i64>> {
    let mut unreached = BTreeSet::new();
    if !subscriptions.is_empty() {
        let arguments = [keys_argument(subscriptions)];
        STATEMENTS.with(|own| {
            own.unreached
                .rows(&arguments, |row| unreached.extend(row.get::<i64>(1)))
        })?;
    }
    Ok(unreached)
}

/// Locked before several of them are written one after the other, in the order of everybody who removes them.
pub(crate) fn lock(subscriptions: &[i64]) -> Result<()> {
    if !subscriptions.is_empty() {
        STATEMENTS.with(|own| own.lock.run(&[keys_argument(subscriptions)]))?;
    }
    Ok(())
}

/// Slack does not take messages for the channels of these: each with the error and the scope that it lacks.
pub(crate) fn note_troubles(of: &[(i64, &str, Option<&str>)]) -> Result<()> {
    if !of.is_empty() {
        let ids: Vec<i64> = of.iter().map(|it| it.0).collect();
        let errors: Vec<&str> = of.iter().map(|it| it.1).collect();
        let needed: Vec<Option<&str>> = of.iter().map(|it| it.2).collect();
        let arguments = [keys_argument(&ids), datum(errors), datum(needed)];
        STATEMENTS.with(|own| own.trouble.run(&arguments))?;
    }
    Ok(())
}

/// The channels of these are reached.
pub(crate) fn end_troubles(subscriptions: &[i64]) -> Result<()> {
    if !subscriptions.is_empty() {
        let arguments = [keys_argument(subscriptions)];
        STATEMENTS.with(|own| own.end_trouble.run(&arguments))?;
    }
    Ok(())
}

/// What a statement finds, in its order.
fn read<T>(
    statement: fn(&Own) -> &OwnStatement,
    arguments: &[pg_sys::Datum],
    of: impl Fn(&Answer) -> T,
) -> Result<Vec<T>> {
    let arguments: Vec<Option<pg_sys::Datum>> = arguments.iter().copied().map(Some).collect();
    read_with_nulls(statement, &arguments, of)
}

fn read_with_nulls<T>(
    statement: fn(&Own) -> &OwnStatement,
    arguments: &[Option<pg_sys::Datum>],
    of: impl Fn(&Answer) -> T,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    STATEMENTS.with(|own| statement(own).rows_with_nulls(arguments, |row| found.push(of(row))))?;
    Ok(found)
}

fn id(statement: &OwnStatement, arguments: &[Option<pg_sys::Datum>]) -> Result<Option<i64>> {
    let mut id = None;
    statement.rows_with_nulls(arguments, |row| id = row.get(1))?;
    Ok(id)
}
