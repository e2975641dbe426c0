//! The subscriptions that an event may be for.

use super::kind::Wanted;
use crate::error::Result;
use crate::event::recipients::{Candidate, Candidates};
use crate::event::settings::Settings;
use crate::slack_workspace::with_token;
use crate::subscription;
use std::collections::{BTreeSet, HashMap};

/// Adds the subscriptions to these projects, and returns the settings of each. If there are none, this is one look at an index.
pub(in crate::event) fn subscribe(
    candidates: &mut Candidates,
    schema: &str,
    projects: BTreeSet<i64>,
) -> Result<HashMap<i64, Settings>> {
    let projects: Vec<i64> = projects.into_iter().collect();
    let found = subscription::of_projects(schema, &projects)?;
    let teams = with_token(schema, found.iter().map(|it| it.team.as_str()))?;
    let mut settings = HashMap::with_capacity(found.len());
    for it in found {
        let wanted = Wanted::by(&it);
        let team = teams.get(&it.team).cloned();
        let candidate = Candidate::of_subscription(it.id, team, &wanted.kinds);
        candidates.subscribe(it.project, candidate);
        settings.insert(it.id, wanted.settings(&it.channel));
    }
    Ok(settings)
}
