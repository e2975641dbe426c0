//! The engine compared with GitLab's statement and the bare writes, with several sub-batch sizes.

use anyhow::Result;

use super::NAME;
use super::contender::{Contender, Cut, Sample, measure};
use crate::Report;
use crate::figure::Figure;
use crate::figure::Reach::{AtLeast, AtMost};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::workflows;

/// Workflows per row of the requested size: 1,000,000 by default.
pub(super) const WORKFLOWS_PER_ROW: i64 = 10;

/// The default target time of a sub-batch.
const TARGET_MS: f64 = 100.0;

const CONTENDERS: [Contender; 4] = [
    Contender::Correlated,
    Contender::Bare,
    Contender::Engine(1),
    Contender::Engine(2),
];

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let names = [100, 1_000].map(|rows| (format!("{NAME}/{rows}"), rows));
    let adaptive = format!("{NAME}/adaptive");
    let wanted = |name: &str| selection.includes(name);
    if !names.iter().any(|(name, _)| wanted(name)) && !wanted(&adaptive) {
        return Ok(());
    }
    let rows = i64::from(size.rows) * WORKFLOWS_PER_ROW;
    workflows::create_template(server, rows, rows)?;
    for (name, sub_batch) in names.iter().filter(|(name, _)| wanted(name)) {
        compare(server, name, *sub_batch, rows, size.rounds, report)?;
    }
    if wanted(&adaptive) {
        adapt(server, &adaptive, rows, size.rounds, report)?;
    }
    server.drop_database(workflows::TEMPLATE)
}

fn compare(
    server: &mut Server,
    name: &str,
    sub_batch: i64,
    rows: i64,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    let mut samples: Vec<[Sample; 4]> = Vec::new();
    for _ in 0..rounds {
        let mut round = [Sample::default(); 4];
        for (contender, sample) in CONTENDERS.into_iter().zip(&mut round) {
            *sample = measure(server, contender, Cut::Rows(sub_batch), rows)?;
            eprintln!(
                "bench: {name} {}: {:.0} ms",
                contender.name(),
                sample.milliseconds
            );
        }
        samples.push(round);
    }
    for (place, contender) in CONTENDERS.into_iter().enumerate() {
        let milliseconds = median(samples.iter().map(|round| round[place].milliseconds));
        let wal = median(samples.iter().map(|round| round[place].wal_bytes));
        report.table.push(vec![
            format!("sub-batches of {sub_batch}"),
            contender.name(),
            format!("{milliseconds:.0}"),
            format!("{:.2}", milliseconds * 1_000.0 / rows as f64),
            format!("{:.0}", wal / rows as f64),
        ]);
    }
    let ratio = |above: usize, below: usize| {
        median(
            samples
                .iter()
                .map(|round| round[above].milliseconds / round[below].milliseconds),
        )
    };
    let figure = |what: &str, value, unit, reach| {
        Figure::with_reach(format!("{name}/{what}"), value, unit, reach)
    };
    report.figures.extend([
        figure(
            "rows_per_second_of_correlated",
            ratio(0, 2),
            "ratio",
            AtLeast(3.5),
        ),
        Figure::plain(
            format!("{name}/bare_update_of_correlated"),
            ratio(0, 1),
            "ratio",
        ),
        figure("two_workers_of_one", ratio(2, 3), "ratio", AtLeast(1.6)),
        figure("time_of_bare_update", ratio(2, 1), "ratio", AtMost(2.2)),
        figure(
            "needless_row_versions",
            median(samples.iter().map(|round| round[2].needless_versions)),
            "rows",
            AtMost(0.0),
        ),
    ]);
    Ok(())
}

/// The engine with its defaults.
fn adapt(
    server: &mut Server,
    name: &str,
    rows: i64,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    let mut samples = Vec::new();
    for _ in 0..rounds {
        let sample = measure(server, Contender::Engine(1), Cut::Adaptive, rows)?;
        eprintln!("bench: {name}: {:.0} ms", sample.milliseconds);
        samples.push(sample);
    }
    let milliseconds = median(samples.iter().map(|sample| sample.milliseconds));
    report.table.push(vec![
        "adaptive sub-batches".to_owned(),
        Contender::Engine(1).name(),
        format!("{milliseconds:.0}"),
        format!("{:.2}", milliseconds * 1_000.0 / rows as f64),
        format!(
            "{:.0}",
            median(samples.iter().map(|sample| sample.wal_bytes)) / rows as f64
        ),
    ]);
    report.figures.extend([
        Figure::with_reach(
            format!("{name}/longest_of_target"),
            median(samples.iter().map(|sample| sample.longest_ms)) / TARGET_MS,
            "ratio",
            AtMost(2.0),
        ),
        Figure::with_reach(
            format!("{name}/worker_memory"),
            median(samples.iter().map(|sample| sample.worker_kilobytes)) / 1_024.0,
            "MB",
            AtMost(32.0),
        ),
    ]);
    Ok(())
}
