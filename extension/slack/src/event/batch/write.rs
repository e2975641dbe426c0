//! Writes what was decided of a batch.

use super::decided::Decided;
use super::same_channel::once_per_channel;
use crate::error::Result;
use crate::event::written::{Change, Finished, channel, copies, pipeline, rows};
use std::collections::HashSet;

/// Writes the new events with their deliveries.
pub(super) fn write(decided: &mut [Decided], schema: &str) -> Result<()> {
    write_events(decided, schema)?;
    take_down_pipelines(decided, schema)?;
    once_per_channel(decided, schema)?;
    let new = decided.iter_mut().filter_map(|it| Some((it.id?, it)));
    let mut new: Vec<(i64, &mut Decided)> = new.collect();
    let told = || new.iter().flat_map(|(_, it)| it.told());
    let people = told().flat_map(|told| {
        let users = told.direct_messages();
        users.map(|(user, _)| (told.team, user.to_owned()))
    });
    let people: Vec<(&str, String)> = people.collect();
    let names = told()
        .flat_map(|told| told.channels.iter().map(|channel| (told.team, *channel)))
        .chain(people.iter().map(|(team, user)| (*team, user.as_str())));
    let names = names.collect();
    let channels = channel::rows(names, schema)?;
    let mut deliveries = Vec::new();
    for (event, it) in &mut new {
        deliveries.extend(it.deliveries(*event, &channels));
    }
    rows::deliveries(&deliveries, schema)?;
    Ok(())
}

/// Writes the events that are new, and numbers them.
fn write_events(decided: &mut [Decided], schema: &str) -> Result<()> {
    let mut keys = HashSet::new();
    let first = decided.iter().filter(|it| keys.insert(it.event.key));
    let events = first.map(|it| it.written(it.event.key.to_owned()));
    let mut ids = rows::events(events.collect(), schema)?;
    let left = decided.iter_mut().filter_map(|it| {
        it.id = ids.remove(it.event.key);
        let request = it.event.request?;
        it.id.is_none().then_some((request, it))
    });
    let left: Vec<(&str, &mut Decided)> = left.collect();
    if left.is_empty() {
        return Ok(());
    }
    let asked = left.iter().map(|(request, it)| (it.event.key, *request));
    let is_new = copies::count(asked.collect(), schema)?;
    let again = left.into_iter().zip(is_new);
    let again: Vec<(String, &mut Decided)> = again
        .filter(|(_, is_new)| *is_new)
        .map(|((request, it), _)| (format!("{} {request}", it.event.key), it))
        .collect();
    let events = again.iter().map(|(key, it)| it.written(key.clone()));
    let mut ids = rows::events(events.collect(), schema)?;
    for (key, it) in again {
        it.id = ids.remove(&key);
    }
    Ok(())
}

/// An end of a pipeline counts once, and integrations that only want pipelines that change the state of a branch are not notified
/// of others. This is only known once the events are written: an event that arrives again must not count as its own predecessor.
fn take_down_pipelines(decided: &mut [Decided], schema: &str) -> Result<()> {
    let (places, finished) = finished(decided);
    let changes = pipeline::take_down(&finished, schema)?;
    let untold = keep_back(decided, places, changes);
    rows::forget_payloads(&untold)
}

/// The new events that are the end of a pipeline, with their places.
pub(super) fn finished<'a>(decided: &[Decided<'a>]) -> (Vec<usize>, Vec<Finished<'a>>) {
    let finished = decided
        .iter()
        .enumerate()
        .filter(|(_, it)| it.id.is_some())
        // Also where nobody has asked for changes only, or for pipelines at all: whoever turns it on later is compared with the
        // current state, not with an old one. Without any integration nobody can turn it on.
        .filter(|(_, it)| !it.candidates.is_empty())
        .filter_map(|(place, it)| {
            let pipeline = it.event.it.pipeline.as_ref();
            let pipeline = pipeline.filter(|pipeline| pipeline::is_finished(pipeline))?;
            let finished = Finished {
                project: it.scope.project?,
                state_of: &pipeline.state_of,
                pipeline,
            };
            Some((place, finished))
        });
    finished.unzip()
}

/// Returns the events that nobody is notified of after all.
pub(super) fn keep_back(
    decided: &mut [Decided],
    places: Vec<usize>,
    changes: Vec<Change>,
) -> Vec<i64> {
    let mut untold = Vec::new();
    for (place, change) in places.into_iter().zip(changes) {
        let Some(it) = decided.get_mut(place) else {
            continue;
        };
        let had_any = it.told().next().is_some();
        for decision in &mut it.candidates {
            if let Ok(told) = &decision.told
                && let Some(reason) = told.kept_back(change)
            {
                decision.told = Err(reason);
            }
        }
        if had_any && it.told().next().is_none() {
            untold.extend(it.id);
        }
    }
    untold
}
