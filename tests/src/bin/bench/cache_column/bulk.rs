//! Statements on many rows: overhead in time and WAL, per workload and layout.

use anyhow::Result;
use lockstep_tests::host::Layout;

use super::rounds::Rounds;
use super::state::{State, layout_name};
use super::templates::Templates;
use super::trial::measure;
use super::variant::Variant::{self, BareUpdate, Lockstep, None, RowTriggers, StatementTriggers};
use super::workload::{
    ACTIVATE, ALREADY_TRUE, BULK, DEACTIVATE, DELETE, INSERT, UNRELATED, Workload,
};
use super::{NAME, push_row};
use crate::figure::Figure;
use crate::figure::Reach::AtMost;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

/// A difference of 2 % only shows over many rounds, so there are more rounds and fewer variants.
const MORE_ROUNDS_OF_UNRELATED: usize = 3;

/// Runs the selected workloads.
pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    table: &mut Table,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    for layout in [Layout::Narrow, Layout::Wide] {
        let mut templates = Templates::default();
        for workload in BULK {
            let name = format!("{NAME}/{}/{}", layout_name(layout), workload.name);
            if !selection.includes(&name) {
                continue;
            }
            let state = State {
                layout,
                trackers: workload.trackers,
                rows: size.rows,
            };
            templates.have(server, state)?;
            let rounds = take(server, workload, state, size)?;
            rounds.report_disturbance(&name);
            let workload_name = format!("{} {}", layout_name(layout), workload.name);
            for variant in Variant::ALL {
                push_row(table, &workload_name, variant, &rounds);
            }
            let new = figures_of(workload, &name, &rounds, size);
            for figure in &new {
                eprintln!("bench: {figure}");
            }
            figures.extend(new);
        }
        templates.drop_all(server)?;
    }
    Ok(())
}

fn take(server: &mut Server, workload: Workload, state: State, size: Size) -> Result<Rounds> {
    let is_unrelated = workload.name == UNRELATED.name;
    let variants: Vec<Variant> = Variant::ALL
        .into_iter()
        .filter(|variant| match variant {
            BareUpdate => workload.bare_update(1, 1).is_some(),
            RowTriggers => !is_unrelated,
            _ => true,
        })
        .collect();
    let more = if is_unrelated {
        MORE_ROUNDS_OF_UNRELATED
    } else {
        1
    };
    let count = size.rounds * more;
    Rounds::take(count, &variants, |variant, round| {
        let sample = measure(server, workload, state, variant, round)?;
        eprintln!(
            "bench: {} {} {}: {:.0} ms, elapsed {:.0} ms",
            layout_name(state.layout),
            workload.name,
            variant.name(),
            sample.milliseconds,
            sample.elapsed
        );
        Ok(sample)
    })
}

/// The figures of one workload and layout, as far as there are samples.
fn figures_of(workload: Workload, name: &str, rounds: &Rounds, size: Size) -> Vec<Figure> {
    let is = |other: Workload| workload.name == other.name;
    let overhead = |variant: Variant| {
        rounds.ratio(
            |round| round.overhead(Lockstep),
            |round| round.overhead(variant),
        )
    };
    let mut figures = Vec::new();
    let mut push = |what: &str, value: Option<f64>, reach: Option<f64>| {
        let Some(value) = value else { return };
        let name = format!("{name}/{what}");
        figures.push(match reach {
            Some(most) => Figure::with_reach(name, value, "ratio", AtMost(most)),
            Option::None => Figure::plain(name, value, "ratio"),
        });
    };

    if is(UNRELATED) {
        let time = rounds.ratio(
            |round| round.milliseconds(Lockstep),
            |round| round.milliseconds(None),
        );
        push("vs_none", time, Some(1.02));
    } else {
        let most = if is(INSERT) || is(ACTIVATE) {
            Some(0.40)
        } else if is(DEACTIVATE) || is(DELETE) {
            Some(0.55)
        } else if workload.is_ten || is(ALREADY_TRUE) {
            Some(0.15)
        } else {
            Option::None
        };
        push("vs_row_triggers", overhead(RowTriggers), most);
    }
    push(
        "vs_statement_triggers",
        overhead(StatementTriggers),
        Some(1.0),
    );
    let most = if is(INSERT) || is(ACTIVATE) {
        Some(1.35)
    } else if is(DEACTIVATE) || is(DELETE) {
        Some(1.8)
    } else {
        Option::None
    };
    push("vs_update", overhead(BareUpdate), most);
    // What vs_row_triggers would be if lockstep only wrote the rows.
    let floor = rounds.ratio(
        |round| round.overhead(BareUpdate),
        |round| round.overhead(RowTriggers),
    );
    push("update_vs_row_triggers", floor, Option::None);
    if is(ALREADY_TRUE) {
        let wal = rounds.ratio(
            |round| round.wal_overhead(Lockstep),
            |round| round.wal_overhead(RowTriggers),
        );
        push("wal_vs_row_triggers", wal, Some(0.25));
    }
    let per_row =
        rounds.value(|round| Some(round.overhead(Lockstep)? * 1000.0 / f64::from(size.rows)));
    if let Some(microseconds) = per_row {
        figures.push(Figure::plain(
            format!("{name}/overhead"),
            microseconds,
            "us/row",
        ));
    }
    figures
}
