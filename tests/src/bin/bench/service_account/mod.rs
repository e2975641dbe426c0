//! Service accounts: filling old rows beside the host's own statement, and what the trigger costs a new row.

mod data;
mod fill;
mod insert;

use anyhow::Result;

use crate::Report;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "service_account";

/// Runs what is asked for of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut server = Server::start()?;
    let mut table =
        Table::with_heading(["work", "variant", "elapsed ms", "us/row", "WAL bytes/row"]);
    let mut figures = Vec::new();
    data::create_template(&mut server, size)?;
    for run in [fill::run, insert::run] {
        run(&mut server, selection, size, &mut table, &mut figures)?;
    }
    Ok(Report { table, figures })
}
