//! Cache columns: the cost of maintaining them.
//!
//! The variants of [`variant::Variant`] are compared, in turn within each round. The overhead is the time with triggers minus the
//! time without them in the same round.

mod bulk;
mod oltp;
mod rounds;
mod scale;
mod session;
mod state;
mod templates;
mod trial;
mod variant;
mod workload;

use anyhow::Result;

use crate::Report;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;
use rounds::Rounds;
use variant::Variant;

pub(crate) const NAME: &str = "cache_column";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut server = Server::start()?;
    let mut table = Table::with_heading([
        "workload",
        "variant",
        "ms",
        "elapsed ms",
        "WAL bytes",
        "dead tuples",
        "tps",
    ]);
    let mut figures = Vec::new();
    for run in [bulk::run, oltp::run, scale::run, session::run] {
        run(&mut server, selection, size, &mut table, &mut figures)?;
    }
    Ok(Report { table, figures })
}

/// Adds a variant's medians to the table, if it was measured.
fn push_row(table: &mut Table, workload: &str, variant: Variant, rounds: &Rounds) {
    let Some(milliseconds) = rounds.median(variant, |sample| sample.milliseconds) else {
        return;
    };
    let value = |of: fn(&trial::Sample) -> f64| rounds.median(variant, of).unwrap_or(f64::NAN);
    table.push(vec![
        workload.to_owned(),
        variant.name().to_owned(),
        format!("{milliseconds:.1}"),
        format!("{:.1}", value(|sample| sample.elapsed)),
        format!("{:.0}", value(|sample| sample.wal_bytes)),
        format!("{:.0}", value(|sample| sample.dead_tuples)),
        "-".to_owned(),
    ]);
}
