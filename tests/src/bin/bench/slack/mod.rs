//! Slash commands: how many per second, how fast and with how much memory the sidecar responds, compared with Bolt for
//! JavaScript, Slack's own framework for this.
//!
//! Both verify the signature of each request; to `help` they respond with the same text. Bolt uses no database, even where the
//! sidecar does.
//!
//! `one_core`: the contender has one core, even if it could use more, and the generator another; PostgreSQL, which only the
//! sidecar uses, runs on any. `unpinned`: all of them run wherever the kernel puts them.

pub(crate) mod answer;
mod command;
mod contender;
pub(crate) mod hostile;
pub(crate) mod load;
pub(crate) mod pass_through;
mod placement;
mod rounds;
mod workspace;

use anyhow::Result;

use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::npm;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

use contender::{BOLT, BOLT_VERSION};
use placement::Placement;
use rounds::{Course, Measured, Rounds};

pub(crate) const NAME: &str = "slack";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut report = Report {
        table: Table::with_heading(["command", "cores", "req/s", "of Bolt", "CPU us", "p99 ms"]),
        figures: Vec::new(),
    };
    if !npm::install(BOLT, BOLT_VERSION)? {
        eprintln!("bench: {NAME} is left out, as there is no npm to install its peer with");
        return Ok(report);
    }
    let courses: Vec<Course> = Course::OURS
        .into_iter()
        .filter(|course| selection.includes(&format!("{NAME}/{}", course.name())))
        .collect();
    let mut server = Server::start()?;
    workspace::create(&mut server, &courses)?;
    let mut memory = [0.0_f64; 2];
    for placement in Placement::all()? {
        let measured = server.with_copy(workspace::TEMPLATE, |copy| {
            copy.settle()?;
            Rounds::new(placement, copy, &courses)?.run(size)
        })?;
        let peaks = [measured.sidecars_memory, measured.bolts_memory];
        for (memory, peak) in memory.iter_mut().zip(peaks) {
            *memory = memory.max(peak);
        }
        describe(placement, &measured, &mut report);
    }
    server.drop_database(workspace::TEMPLATE)?;
    let [sidecars, bolts] = memory;
    report.figures.extend([
        Figure::with_reach(
            format!("{NAME}/memory"),
            sidecars,
            "MB",
            Reach::AtMost(30.0),
        ),
        Figure::plain(format!("{NAME}/memory/bolt"), bolts, "MB"),
    ]);
    Ok(report)
}

/// With a core each, figures have a goal; when the kernel moves them, they only inform.
fn describe(placement: Placement, measured: &Measured, report: &mut Report) {
    let figure = |course: Course, what: &str, value, unit, reach| match placement {
        Placement::Apart { .. } => {
            let name = format!("{NAME}/{}/{what}", course.name());
            Figure::with_reach(name, value, unit, reach)
        }
        Placement::Free => {
            let name = format!("{NAME}/{}/{what}/{}", course.name(), placement.name());
            Figure::plain(name, value, unit)
        }
    };
    for of in &measured.courses {
        let course = of.course;
        let [rate, ratio, cost, p99] =
            [&of.rates, &of.ratios, &of.costs, &of.p99s].map(|all| median(all.iter().copied()));
        report.table.push(vec![
            course.describe().to_owned(),
            placement.name().to_owned(),
            format!("{rate:.0}"),
            format!("{ratio:.2}"),
            format!("{cost:.1}"),
            format!("{p99:.2}"),
        ]);
        if let Some(least) = course.least_ratio() {
            report.figures.extend([
                figure(course, "of_bolt", ratio, "ratio", Reach::AtLeast(least)),
                figure(course, "p99", p99, "ms", Reach::AtMost(10.0)),
            ]);
        }
    }
}
