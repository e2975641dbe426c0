//! The jobs that come with lockstep.

use super::counts::Counts;
use super::job::Job;
use super::key::KeyRange;
use crate::error::Result;
use crate::{cache_column, service_account, slack_workspace};
use lockstep_server::host::{Relation, tables_named};

const SERVICE_ACCOUNTS: &str = "service_accounts";
const CACHE_COLUMNS: &str = "cache_columns";
const SLACK_WORKSPACES: &str = "slack_workspaces";

pub(super) fn is_built_in(job: &str) -> bool {
    matches!(job, SERVICE_ACCOUNTS | CACHE_COLUMNS | SLACK_WORKSPACES)
}

/// The tables that a job can go through, if it is one of these.
pub(super) fn tables_of(job: &str) -> Result<Option<Vec<u32>>> {
    Ok(match job {
        SERVICE_ACCOUNTS => Some(service_account::tables_to_fill()),
        CACHE_COLUMNS => Some(cache_column::targets()?),
        SLACK_WORKSPACES => Some(tables_named(slack_workspace::TABLE)),
        _ => None,
    })
}

/// What a job does to a table, if it is one of these.
pub(super) fn job(job: &str, table: &Relation) -> Option<Box<dyn Job>> {
    let schema = table.schema().to_owned();
    Some(match job {
        SERVICE_ACCOUNTS => Box::new(ServiceAccounts { schema }),
        SLACK_WORKSPACES => Box::new(SlackWorkspaces { schema }),
        CACHE_COLUMNS => Box::new(CacheColumns { target: table.oid }),
        _ => return None,
    })
}

struct ServiceAccounts {
    schema: String,
}

impl Job for ServiceAccounts {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let Some((first, last)) = range.integers() else {
            return Ok(Counts::default());
        };
        let filled = service_account::fill(&self.schema, first, last)?;
        let unresolved = [
            ("no_item", filled.no_item),
            ("no_root_group", filled.no_root_group),
            ("no_consumer", filled.no_consumer),
            ("consumer_without_account", filled.consumer_without_account),
        ];
        Ok(Counts {
            scanned: 0,
            updated: filled.updated,
            unresolved: unresolved
                .map(|(reason, rows)| (reason.to_owned(), rows))
                .into(),
        })
    }
}

struct SlackWorkspaces {
    schema: String,
}

impl Job for SlackWorkspaces {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let Some((first, last)) = range.integers() else {
            return Ok(Counts::default());
        };
        let updated = slack_workspace::repair_range(&self.schema, first, last)?;
        Ok(Counts {
            updated: updated as i64,
            ..Counts::default()
        })
    }
}

struct CacheColumns {
    target: u32,
}

impl Job for CacheColumns {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let Some((first, last)) = range.integers() else {
            return Ok(Counts::default());
        };
        let updated = cache_column::repair_range(self.target, first, last)?;
        Ok(Counts {
            updated: updated as i64,
            ..Counts::default()
        })
    }
}
