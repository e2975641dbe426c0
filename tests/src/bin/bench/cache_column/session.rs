//! Single rows in a session whose environment changes: its first write, the next write after another session analyzed both tables
//! (and how much longer that takes than without triggers), and writes under a search path that changes each time.

use std::time::Instant;

use anyhow::Result;
use lockstep_tests::host::Layout;
use postgres::Client;

use super::NAME;
use super::state::{State, Trackers};
use super::templates::Templates;
use super::variant::Variant;
use crate::figure::Figure;
use crate::figure::Reach::AtMost;
use crate::median::median;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;
use crate::table::Table;

/// How many writes of each kind are timed, per round.
const WRITES: usize = 20;

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    _table: &mut Table,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let name = format!("{NAME}/session");
    if !selection.includes(&name) {
        return Ok(());
    }
    let state = State {
        layout: Layout::Wide,
        trackers: Trackers::OneActive,
        rows: size.rows,
    };
    let mut templates = Templates::default();
    templates.have(server, state)?;
    let count = WRITES * size.rounds;
    let without = server.with_copy(&state.template(), |copy| {
        copy.settle()?;
        after_analyze(copy, &mut Toggles::of(state), count)
    })?;
    let new = server.with_copy(&state.template(), |copy| {
        Variant::Lockstep.install(&mut copy.client)?;
        copy.settle()?;
        measure(copy, state, count, &name, without)
    })?;
    templates.drop_all(server)?;
    for figure in &new {
        eprintln!("bench: {figure}");
    }
    figures.extend(new);
    Ok(())
}

/// Writes of single rows, each of another one.
struct Toggles {
    state: State,
    next: u32,
}

impl Toggles {
    fn of(state: State) -> Self {
        Self { state, next: 0 }
    }

    /// The milliseconds of the next write.
    fn time(&mut self, client: &mut Client) -> Result<f64> {
        self.next = self.next % self.state.rows + 1;
        let id = self.state.tracker_id(&self.next.to_string(), "1");
        let start = Instant::now();
        client.batch_execute(&format!(
            "update integrations set active = not active where id = {id}"
        ))?;
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    }
}

/// The milliseconds of a write after ANALYZE, when PostgreSQL itself must reload what it knows about the tables.
fn after_analyze(copy: &mut Copy, toggles: &mut Toggles, count: usize) -> Result<f64> {
    let mut client = copy.cluster.connect(copy.database())?;
    toggles.time(&mut client)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        // In both directions, so that no statement is the first of its kind.
        toggles.time(&mut client)?;
        copy.client
            .batch_execute("analyze projects, integrations")?;
        times.push(toggles.time(&mut client)?);
    }
    Ok(median(times))
}

/// `without` is the time of a write after ANALYZE without triggers.
fn measure(
    copy: &mut Copy,
    state: State,
    count: usize,
    name: &str,
    without: f64,
) -> Result<Vec<Figure>> {
    let mut toggles = Toggles::of(state);
    let mut first = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = copy.cluster.connect(copy.database())?;
        first.push(toggles.time(&mut client)?);
    }
    let analyzed = after_analyze(copy, &mut toggles, count)?;
    let mut client = copy.cluster.connect(copy.database())?;
    let mut constant = Vec::with_capacity(count);
    let mut alternating = Vec::with_capacity(count);
    for paths in [["public", "public"], ["public", "pg_catalog, public"]] {
        let times = match paths[0] == paths[1] {
            true => &mut constant,
            false => &mut alternating,
        };
        for round in 0..2 * count {
            client.batch_execute(&format!("set search_path = {}", paths[round % 2]))?;
            let took = toggles.time(&mut client)?;
            // The first writes warm up caches.
            if round >= count {
                times.push(took);
            }
        }
    }
    let ratio = median(alternating) / median(constant);
    Ok(vec![
        Figure::with_reach(
            format!("{name}/first_write"),
            median(first),
            "ms",
            AtMost(5.0),
        ),
        Figure::plain(format!("{name}/write_after_analyze"), analyzed, "ms"),
        Figure::with_reach(
            format!("{name}/write_after_analyze_more"),
            analyzed - without,
            "ms",
            AtMost(1.0),
        ),
        Figure::with_reach(
            format!("{name}/alternating_search_path"),
            ratio,
            "ratio",
            AtMost(1.5),
        ),
    ])
}
