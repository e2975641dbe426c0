//! Finds subscriptions.

use super::statements::{STATEMENTS, read, read_with_nulls};
use super::{Place, Subscription};
use crate::error::Result;
use lockstep_server::{Answer, datum, keys_argument, nullable};
use std::collections::{BTreeMap, BTreeSet};

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
