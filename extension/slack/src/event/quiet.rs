//! Projects of which nobody is notified any more when a delivery has its turn: GitLab is silent, or they are archived, being
//! deleted, or gone.

use super::recipients::Reason;
use super::tables::Tables;
use crate::error::Result;
use lockstep_server::{View, datum};
use std::collections::{BTreeMap, BTreeSet};

/// Those of these, and why; None stands for what happened in no project.
pub(crate) fn quiet(
    schema: &str,
    projects: BTreeSet<Option<i64>>,
) -> Result<BTreeMap<Option<i64>, Reason>> {
    let mut quiet = BTreeMap::new();
    if projects.is_empty() {
        return Ok(quiet);
    }
    let tables = Tables::attached(schema)?;
    let projects: Vec<Option<i64>> = projects.into_iter().collect();
    tables.as_owner(|| {
        let query = &tables.statements.quiet;
        query.rows(View::Newest, &[datum(projects)], |row| {
            let project: Option<i64> = row.get(1);
            let is_there: bool = row.get(3).unwrap_or_default();
            let reasons = [
                (row.get(2) == Some(true), Reason::SilentMode),
                (project.is_some() && !is_there, Reason::ProjectGone),
                (row.get(5) == Some(true), Reason::PendingDelete),
                (row.get(4) == Some(true), Reason::Archived),
            ];
            let holding = reasons.into_iter().find(|(holds, _)| *holds);
            quiet.extend(holding.map(|(_, reason)| (project, reason)));
        });
    });
    Ok(quiet)
}
