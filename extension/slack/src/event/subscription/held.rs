//! Projects of which nobody is notified now: archived, being deleted, or GitLab is silent.

use crate::error::Result;
use crate::event::read::Place;
use crate::event::recipients::Scopes;
use crate::event::tables::Tables;
use std::collections::BTreeMap;

/// Those of these, and why. What waits for a subscription is not sent either.
pub(crate) fn quiet_projects(
    schema: &str,
    projects: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, &'static str>> {
    let places: Vec<Place> = projects.map(Place::Project).collect();
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let tables = Tables::attached(schema)?;
    let scopes = tables.as_owner(|| Scopes::look_up(&tables, places.iter()));
    let quiet = places.iter().filter_map(|place| {
        let scope = scopes.of(place)?;
        Some((scope.project?, scope.quiet()?.name()))
    });
    Ok(quiet.collect())
}
