//! Whether the overhead per row stays the same when a statement changes a hundred times as many rows.

use anyhow::Result;
use lockstep_tests::host::Layout;

use super::rounds::Rounds;
use super::state::State;
use super::templates::Templates;
use super::trial::measure;
use super::variant::Variant::{self, Lockstep, None};
use super::workload::{DEACTIVATE, INSERT, Workload};
use super::{NAME, push_row};
use crate::figure::Figure;
use crate::figure::Reach::AtMost;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

const VARIANTS: [Variant; 2] = [None, Lockstep];

/// A statement on few rows is measured more often than one on many, by this factor.
const MORE_ROUNDS: usize = 5;

/// Measures both sizes of both workloads.
pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    table: &mut Table,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let rounds_of_many = size.rounds.div_ceil(2);
    for workload in [INSERT, DEACTIVATE] {
        let name = format!("{NAME}/scale/{}", workload.name);
        if !selection.includes(&name) {
            continue;
        }
        let mut overheads = Vec::new();
        for (rows, count) in [
            (size.rows / 10, size.rounds * MORE_ROUNDS),
            (size.rows * 10, rounds_of_many),
        ] {
            let (rounds, overhead) = overhead_per_row(server, workload, rows, count)?;
            for variant in VARIANTS {
                let workload_name = format!("{rows} rows {}", workload.name);
                push_row(table, &workload_name, variant, &rounds);
            }
            let name = format!("{name}/overhead_at_{rows}");
            figures.push(Figure::plain(name, overhead, "us/row"));
            overheads.push(overhead);
        }
        if let [few, many] = overheads[..] {
            let name = format!("{name}/per_row");
            let figure = Figure::with_reach(name, many / few, "ratio", AtMost(1.2));
            eprintln!("bench: {figure}");
            figures.push(figure);
        }
    }
    Ok(())
}

fn overhead_per_row(
    server: &mut Server,
    workload: Workload,
    rows: u32,
    count: usize,
) -> Result<(Rounds, f64)> {
    let state = State {
        layout: Layout::Narrow,
        trackers: workload.trackers,
        rows,
    };
    let mut templates = Templates::default();
    templates.have(server, state)?;
    let rounds = Rounds::take(count, &VARIANTS, |variant, round| {
        let sample = measure(server, workload, state, variant, round)?;
        eprintln!(
            "bench: {rows} rows {} {}: {:.0} ms, elapsed {:.0} ms",
            workload.name,
            variant.name(),
            sample.milliseconds,
            sample.elapsed
        );
        Ok(sample)
    })?;
    templates.drop_all(server)?;
    rounds.report_disturbance(&format!("{rows} rows {}", workload.name));
    let overhead = rounds.value(|round| round.overhead(Lockstep));
    let microseconds = overhead.unwrap_or(f64::NAN) * 1000.0 / f64::from(rows);
    Ok((rounds, microseconds))
}
