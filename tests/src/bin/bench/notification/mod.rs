//! Notifications: how many webhooks are accepted per second, how close deliveries come to Slack's limits, how soon after an
//! event, the cost of an event that matches a thousand integrations, whether projects feel each other's locks, and what a look costs
//! when nothing is due.
//!
//! Sidecar, PostgreSQL, fake Slack and the webhook sender share the machine, on whichever cores the kernel chooses.

mod accepted;
mod commit;
mod fan_out;
mod latency;
mod load;
mod locked;
mod pace;
mod scene;
mod wait;

use anyhow::Result;

use crate::Report;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "notification";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut report = Report {
        table: Table::with_heading(["what", "value", "unit"]),
        figures: Vec::new(),
    };
    let parts = [
        (accepted::NAME, accepted::run as Run),
        (pace::NAME, pace::run),
        (latency::NAME, latency::run),
        (fan_out::NAME, fan_out::run),
        (commit::NAME, commit::run),
        (locked::NAME, locked::run),
        (wait::NAME, wait::run),
    ];
    let mut server = Server::start()?;
    scene::create_template(&mut server)?;
    for (name, run) in parts {
        if selection.includes(name) {
            run(&mut server, size, &mut report)?;
        }
    }
    server.drop_database(scene::TEMPLATE)?;
    Ok(report)
}

/// Measures one figure and adds it to the report.
type Run = fn(&mut Server, Size, &mut Report) -> Result<()>;

fn row(report: &mut Report, what: &str, value: f64, unit: &str) {
    report.table.push(vec![
        what.to_owned(),
        format!("{value:.2}"),
        unit.to_owned(),
    ]);
}
