//! Backfills: the service accounts of existing workflows, filled by GitLab's own statement, by an update with accounts that are
//! already known, and by lockstep's engine.

mod contender;
mod scale;
mod shape;
mod size;

use anyhow::Result;

use crate::Report;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "backfill";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut report = Report {
        table: Table::with_heading(["work", "variant", "elapsed ms", "us/row", "WAL bytes/row"]),
        figures: Vec::new(),
    };
    let mut server = Server::start()?;
    size::run(&mut server, selection, size, &mut report)?;
    shape::run(&mut server, selection, size, &mut report)?;
    scale::run(&mut server, selection, size, &mut report)?;
    Ok(report)
}
