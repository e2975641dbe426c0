//! Removes subscriptions to projects that GitLab has removed.

use crate::error::Result;
use crate::event::read::Place;
use crate::event::recipients::Scopes;
use crate::event::tables::Tables;
use crate::subscription;
use lockstep_server::host::qualified;
use lockstep_server::{Statement, View};

/// Of at most that many projects; returns how many subscriptions were removed.
pub(crate) fn sweep_subscriptions(schema: &str, most: usize) -> Result<u64> {
    let projects = subscription::projects(schema)?;
    if projects.is_empty() {
        return Ok(0);
    }
    let tables = Tables::attached(schema)?;
    // Read after our own data: a project that is followed existed before.
    let gone = tables.as_owner(|| {
        // An empty table is most likely being restored.
        let any = format!("select from {} p limit 1", tables.projects.qualified_name());
        let any = Statement::new(&qualified(&any), &[]);
        if any.run_seeing(View::Own, &[]) == 0 {
            return Vec::new();
        }
        let places: Vec<Place> = projects.iter().copied().map(Place::Project).collect();
        let there = Scopes::look_up(&tables, places.iter());
        let gone = projects.iter().zip(&places);
        let gone = gone.filter(|(_, place)| there.of(place).is_none());
        gone.map(|(project, _)| *project).take(most).collect()
    });
    match gone.is_empty() {
        true => Ok(0),
        false => subscription::remove_of_projects(schema, &gone),
    }
}
