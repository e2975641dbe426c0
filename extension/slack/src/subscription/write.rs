//! Changes subscriptions. Whoever changes several locks them in the order of their ids.

use super::read::find;
use super::statements::{STATEMENTS, id};
use super::{Choice, Place, Subscriber, Subscription, Written};
use crate::error::Result;
use lockstep_server::{datum, keys_argument, nullable};

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
