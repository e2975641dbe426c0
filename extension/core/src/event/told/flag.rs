//! The host's feature flag of notifications through the app. The host has made it general, so it is on where nobody knows of it.

use super::scope::Scope;
use crate::error::Result;
use crate::event::read::Author;
use crate::feature::Flag;

const NAME: &str = "integration_slack_app_notifications";

pub(crate) struct Notifications(Flag);

impl Notifications {
    pub(crate) fn read(schema: &str) -> Result<Self> {
        Flag::read(NAME, schema).map(Self)
    }

    /// Whether it is on for the project, for a group around it or for whoever acted.
    pub(crate) fn are_on(&self, scope: &Scope, author: &Author) -> Result<bool> {
        if !self.0.is_known() {
            return Ok(true);
        }
        if let Some(is_on) = self.0.is_for_all() {
            return Ok(is_on);
        }
        let project = scope.project.map(|id| format!("Project:{id}"));
        let groups = scope.groups.iter().map(|id| format!("Group:{id}"));
        let user = author.id.map(|id| format!("User:{id}"));
        let actors: Vec<String> = project.into_iter().chain(groups).chain(user).collect();
        self.0.is_on_for_any(&actors)
    }
}
