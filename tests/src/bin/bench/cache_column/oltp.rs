//! Single rows written by eight clients at once: transactions per second.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use lockstep_tests::host::Layout;

use super::NAME;
use super::rounds::Rounds;
use super::state::{State, Trackers, layout_name};
use super::templates::Templates;
use super::trial::Sample;
use super::variant::Variant::{self, Lockstep, None, RowTriggers, StatementTriggers};
use crate::figure::Figure;
use crate::figure::Reach::AtLeast;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;
use crate::table::Table;

const VARIANTS: [Variant; 4] = [None, RowTriggers, StatementTriggers, Lockstep];
const CLIENTS: u32 = 8;
const SECONDS_A_ROUND: u32 = 3;

/// Which trackers the clients toggle, a random one per transaction.
#[derive(Clone, Copy, Debug)]
struct Spread {
    name: &'static str,
    trackers: Trackers,
    /// The trackers of the first `projects` projects, or of all.
    projects: Option<u32>,
}

const SPREADS: [Spread; 2] = [
    Spread {
        name: "distinct",
        trackers: Trackers::OneActive,
        projects: Option::None,
    },
    // Ten trackers per project: two clients rarely want the same integration, but often the same project.
    Spread {
        name: "same",
        trackers: Trackers::TenActive,
        projects: Some(4),
    },
];

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    table: &mut Table,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    for layout in [Layout::Narrow, Layout::Wide] {
        for spread in SPREADS {
            let name = format!("{NAME}/{}/oltp_{}", layout_name(layout), spread.name);
            if !selection.includes(&name) {
                continue;
            }
            let state = State {
                layout,
                trackers: spread.trackers,
                rows: size.rows,
            };
            let mut templates = Templates::default();
            templates.have(server, state)?;
            let rounds = Rounds::take(size.rounds, &VARIANTS, |variant, _| {
                measure(server, spread, state, variant)
                    .with_context(|| format!("{} with {}", spread.name, variant.name()))
            })?;
            templates.drop_all(server)?;
            push_rows(table, layout, spread, &rounds);
            // Fewer milliseconds per transaction mean more transactions.
            let gain = |over: Variant| {
                rounds.ratio(
                    |round| round.milliseconds(over),
                    |round| round.milliseconds(Lockstep),
                )
            };
            let reach = AtLeast(1.0);
            let row = gain(RowTriggers).unwrap_or(f64::NAN);
            let figure =
                Figure::with_reach(format!("{name}/tps_vs_row_triggers"), row, "ratio", reach);
            eprintln!("bench: {figure}");
            figures.push(figure);
            for (over, what) in [(StatementTriggers, "statement_triggers"), (None, "none")] {
                let value = gain(over).unwrap_or(f64::NAN);
                figures.push(Figure::plain(
                    format!("{name}/tps_vs_{what}"),
                    value,
                    "ratio",
                ));
            }
        }
    }
    Ok(())
}

/// Runs pgbench in a fresh copy; the sample is an average transaction.
fn measure(server: &mut Server, spread: Spread, state: State, variant: Variant) -> Result<Sample> {
    let script = lockstep_tests::target().join("bench").join("oltp.sql");
    if let Some(directory) = script.parent() {
        fs::create_dir_all(directory)?;
    }
    server.with_copy(&state.template(), |copy| {
        variant.install(&mut copy.client)?;
        fs::write(&script, toggle(spread, state))
            .with_context(|| format!("cannot write {}", script.display()))?;
        copy.settle()?;
        let wal_before = copy.wal_bytes()?;
        let run = pgbench(copy, &script)?;
        let dead: i64 = copy
            .client
            .query_one(
                "select pg_stat_get_tuples_updated('projects'::regclass)",
                &[],
            )?
            .get(0);
        eprintln!(
            "bench: {} oltp_{} {}: {:.0} tps",
            layout_name(state.layout),
            spread.name,
            variant.name(),
            run.per_second
        );
        Ok(Sample {
            milliseconds: 1000.0 / run.per_second,
            elapsed: 1000.0 / run.per_second,
            wal_bytes: (copy.wal_bytes()? - wal_before) / run.transactions,
            dead_tuples: dead as f64 / run.transactions,
        })
    })
}

/// What each transaction does.
fn toggle(spread: Spread, state: State) -> String {
    format!(
        "\\set project random(1, {})\n\
         \\set number random(1, {})\n\
         \\set id {}\n\
         update integrations set active = not active where id = :id;\n",
        spread.projects.unwrap_or(state.rows),
        spread.trackers.of_project(),
        state.tracker_id(":project", ":number"),
    )
}

struct Run {
    per_second: f64,
    transactions: f64,
}

fn pgbench(copy: &Copy, script: &Path) -> Result<Run> {
    let output = copy
        .cluster
        .client_program("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={CLIENTS}"))
        .arg(format!("--time={SECONDS_A_ROUND}"))
        .arg("--file")
        .arg(script)
        .arg(copy.database())
        .output()
        .context("cannot run pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "pgbench failed: {}\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // Before version 14 there are two lines, and the last one excludes the time to connect.
    let number = |label: &str| -> Result<f64> {
        let rest = text
            .lines()
            .filter_map(|line| line.strip_prefix(label))
            .next_back()
            .with_context(|| format!("pgbench says no {label:?}: {text}"))?;
        let digits = rest.trim().split([' ', '/']).next().unwrap_or_default();
        digits
            .parse()
            .with_context(|| format!("pgbench says {label}{rest}"))
    };
    Ok(Run {
        per_second: number("tps =")?,
        transactions: number("number of transactions actually processed:")?,
    })
}

fn push_rows(table: &mut Table, layout: Layout, spread: Spread, rounds: &Rounds) {
    for variant in VARIANTS {
        let value = |of: fn(&Sample) -> f64| rounds.median(variant, of).unwrap_or(f64::NAN);
        table.push(vec![
            format!("{} oltp_{}", layout_name(layout), spread.name),
            variant.name().to_owned(),
            "-".to_owned(),
            format!("{:.3}", value(|sample| sample.elapsed)),
            format!("{:.0}", value(|sample| sample.wal_bytes)),
            format!("{:.2}", value(|sample| sample.dead_tuples)),
            format!("{:.0}", value(|sample| 1000.0 / sample.milliseconds)),
        ]);
    }
}
