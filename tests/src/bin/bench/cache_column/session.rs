//! Single rows in a session around which something has changed: its first write, the next one after ANALYZE of both tables by somebody
//! else, and writes under a search path that changes each time.

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

/// How many writes are timed of each kind, for each of the bench's rounds.
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
    let new = server.with_copy(&state.template(), |copy| {
        Variant::Lockstep.install(&mut copy.client)?;
        copy.settle()?;
        measure(copy, state, count, &name)
    })?;
    templates.drop_all(server)?;
    for figure in &new {
        eprintln!("bench: {figure}");
    }
    figures.extend(new);
    Ok(())
}

fn measure(copy: &mut Copy, state: State, count: usize, name: &str) -> Result<Vec<Figure>> {
    let mut toggles = (1..=state.rows).cycle().map(|project| {
        let id = state.tracker_id(&project.to_string(), "1");
        format!("update integrations set active = not active where id = {id}")
    });
    let mut time = |client: &mut Client| -> Result<f64> {
        let toggle = toggles.next().unwrap_or_default();
        let start = Instant::now();
        client.batch_execute(&toggle)?;
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    };
    let connect = || copy.cluster.connect(copy.database());

    let mut first = Vec::with_capacity(count);
    for _ in 0..count {
        first.push(time(&mut connect()?)?);
    }
    let mut client = connect()?;
    time(&mut client)?;
    let mut analyzed = Vec::with_capacity(count);
    for _ in 0..count {
        // Both ways, so that no statement is the first of its kind.
        time(&mut client)?;
        copy.client
            .batch_execute("analyze projects, integrations")?;
        analyzed.push(time(&mut client)?);
    }
    let mut constant = Vec::with_capacity(count);
    let mut alternating = Vec::with_capacity(count);
    for paths in [["public", "public"], ["public", "pg_catalog, public"]] {
        let times = match paths[0] == paths[1] {
            true => &mut constant,
            false => &mut alternating,
        };
        for round in 0..2 * count {
            client.batch_execute(&format!("set search_path = {}", paths[round % 2]))?;
            let took = time(&mut client)?;
            // The first ones learn.
            if round >= count {
                times.push(took);
            }
        }
    }
    let ratio = median(alternating) / median(constant);
    Ok(vec![
        Figure::plain(format!("{name}/first_write"), median(first), "ms"),
        Figure::with_reach(
            format!("{name}/write_after_analyze"),
            median(analyzed),
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
