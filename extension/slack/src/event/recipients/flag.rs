//! GitLab's feature flag for notifications through the Slack app. GitLab has since enabled it for everybody, so it is on where it
//! does not exist.

use super::scope::Scope;
use crate::error::Result;
use crate::event::read::Author;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, attempt, datum};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

const NAME: &str = "integration_slack_app_notifications";

struct Statements {
    decision: OwnStatement,
    is_on_for_any: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        decision: OwnStatement::new(
            "select lockstep.feature_decision($1, $2)",
            &[pg_sys::TEXTOID; 2],
        ),
        is_on_for_any: OwnStatement::new(
            "select lockstep.feature_enabled_for_any($1, $2, $3)",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTOID],
        ),
    };
}

pub(crate) struct Notifications {
    schema: String,
    /// The answer, if it is the same for everybody.
    are_on: Option<bool>,
}

impl Notifications {
    pub(crate) fn read(schema: &str) -> Result<Self> {
        let mut decision: Option<String> = None;
        let arguments = [NAME, schema].map(datum);
        STATEMENTS.with(|statements| {
            statements
                .decision
                .rows(&arguments, |row| decision = row.get(1))
        })?;
        Ok(Self {
            schema: schema.to_owned(),
            are_on: match decision.as_deref() {
                Some("conditional") => None,
                decision => Some(decision != Some("off")),
            },
        })
    }

    /// Whether it is on for the project, a group above it, or the author; None if only its expression could tell, or a feature group
    /// whose function fails: that must not fail the events of others, which are published with this one.
    pub(crate) fn are_on(&self, scope: &Scope, author: &Author) -> Result<Option<bool>> {
        if self.are_on.is_some() {
            return Ok(self.are_on);
        }
        let project = scope.project.map(|id| format!("Project:{id}"));
        let groups = scope.groups.iter().map(|id| format!("Group:{id}"));
        let user = author.id.map(|id| format!("User:{id}"));
        let actors: Vec<String> = project.into_iter().chain(groups).chain(user).collect();
        let arguments = [datum(NAME), datum(actors), datum(self.schema.as_str())];
        let ask = || -> Result<Option<bool>> {
            let mut are_on = None;
            STATEMENTS.with(|statements| {
                statements.is_on_for_any.rows(&arguments, |row| {
                    are_on = row.get(1);
                })
            })?;
            Ok(are_on)
        };
        attempt(AssertUnwindSafe(ask)).unwrap_or_else(|failure| {
            warning!(
                "cannot ask whether feature \"{NAME}\" is on: {}",
                failure.message
            );
            Ok(None)
        })
    }
}
