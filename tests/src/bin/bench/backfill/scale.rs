//! Whether the rows per second stay constant as the table grows. The catalog always has the same size; otherwise the figure would
//! show how much of it fits into the processor's caches.

use anyhow::Result;

use super::NAME;
use super::contender::{Contender, Cut, measure};
use super::size::WORKFLOWS_PER_ROW;
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::workflows;

/// About as many rows as the engine chooses.
const BARE_SUB_BATCH: i64 = 4_000;

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/scale");
    if !selection.includes(&name) {
        return Ok(());
    }
    let small = i64::from(size.rows);
    let mut rates = Vec::new();
    for rows in [small, small * 100] {
        workflows::create_template(server, rows, small * WORKFLOWS_PER_ROW)?;
        let mut pair = [0.0; 2];
        // The bare update shows how much of a difference comes from the server itself.
        for (rate, (contender, cut)) in pair.iter_mut().zip([
            (Contender::Engine(1), Cut::Adaptive),
            (Contender::Bare, Cut::Rows(BARE_SUB_BATCH)),
        ]) {
            let sample = measure(server, contender, cut, rows)?;
            let contender = contender.name();
            eprintln!(
                "bench: {name}, {rows} rows, {contender}: {:.0} ms",
                sample.milliseconds
            );
            report.table.push(vec![
                format!("{rows} rows"),
                contender,
                format!("{:.0}", sample.milliseconds),
                format!("{:.2}", sample.milliseconds * 1_000.0 / rows as f64),
                format!("{:.0}", sample.wal_bytes / rows as f64),
            ]);
            *rate = rows as f64 / sample.milliseconds;
        }
        rates.push(pair);
        server.drop_database(workflows::TEMPLATE)?;
    }
    if let [[small, bare_small], [large, bare_large]] = rates.as_slice() {
        report.figures.extend([
            Figure::with_reach(
                format!("{name}/rows_per_second_at_100_times_the_rows"),
                large / small,
                "ratio",
                Reach::AtLeast(0.9),
            ),
            Figure::plain(
                format!("{name}/bare_update_at_100_times_the_rows"),
                bare_large / bare_small,
                "ratio",
            ),
        ]);
    }
    Ok(())
}
