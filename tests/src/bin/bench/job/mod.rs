//! The job queue: jobs that do nothing, compared with another queue in the same server; claims from a long queue and by many
//! claimers; retries; enqueuing by many clients; and how soon a job starts.

mod claim;
mod claimers;
mod commit;
mod dead;
mod latency;
mod runners;
mod snapshot;
mod throughput;

use anyhow::Result;

use crate::Report;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "job";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut report = Report {
        table: Table::with_heading(["work", "variant", "value", "unit"]),
        figures: Vec::new(),
    };
    let mut server = Server::start()?;
    throughput::run(&mut server, selection, size, &mut report)?;
    claim::run(&mut server, selection, size, &mut report)?;
    snapshot::run(&mut server, selection, size, &mut report)?;
    claimers::run(&mut server, selection, size, &mut report)?;
    dead::run(&mut server, selection, size, &mut report)?;
    commit::run(&mut server, selection, size, &mut report)?;
    latency::run(&mut server, selection, size, &mut report)?;
    Ok(report)
}
