//! Backfills: the service accounts of old workflows, filled by the host's own statement, by the update of the rows that have an
//! account when that account is known already, and by lockstep's engine.

mod contender;
mod scale;
mod size;

use anyhow::Result;

use crate::Report;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "backfill";

/// Runs what is asked for of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut report = Report {
        table: Table::with_heading(["work", "variant", "elapsed ms", "us/row", "WAL bytes/row"]),
        figures: Vec::new(),
    };
    let mut server = Server::start()?;
    size::run(&mut server, selection, size, &mut report)?;
    scale::run(&mut server, selection, size, &mut report)?;
    Ok(report)
}
