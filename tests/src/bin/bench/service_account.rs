//! Service accounts: what the trigger costs new rows, one by one, all in one statement, and where a session lives for one row. Existing
//! rows are in part `backfill`.

use std::time::Instant;

use anyhow::Result;

use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;
use crate::table::Table;
use crate::workflows::{self, TEMPLATE};

pub(crate) const NAME: &str = "service_account";

/// The workflows again, with other ids.
const INSERT: &str = "
insert into duo_workflows_workflows (user_id, project_id, namespace_id, workflow_definition, ai_catalog_item_version_id, id)
select user_id, project_id, namespace_id, workflow_definition, ai_catalog_item_version_id, id + 100000000
from duo_workflows_workflows where id between $1 and $2";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut server = Server::start()?;
    let mut table = Table::with_heading(["work", "variant", "elapsed ms", "us/row"]);
    let mut figures = Vec::new();
    let all = i64::from(size.rows) * 2;
    workflows::create_template(&mut server, all, all)?;
    for (work, rows, statements) in [("single", all / 10, all / 10), ("bulk", all, 1)] {
        let name = format!("{NAME}/insert_{work}");
        if !selection.includes(&name) {
            continue;
        }
        let mut overheads = Vec::new();
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..size.rounds {
            let mut pair = [0.0; 2];
            for (attached, (sample, all)) in [false, true]
                .into_iter()
                .zip(pair.iter_mut().zip(&mut samples))
            {
                *sample = measure(&mut server, attached, rows, statements)?;
                eprintln!("bench: {name} attached {attached}: {sample:.0} ms");
                all.push(*sample);
            }
            overheads.push((pair[1] - pair[0]) * 1_000.0 / rows as f64);
        }
        for (variant, samples) in ["none", "lockstep"].into_iter().zip(samples) {
            let elapsed = median(samples);
            table.push(vec![
                format!("insert, {work}"),
                variant.to_owned(),
                format!("{elapsed:.0}"),
                format!("{:.2}", elapsed * 1_000.0 / rows as f64),
            ]);
        }
        let name = format!("{name}/overhead");
        figures.push(Figure::plain(name, median(overheads), "us/row"));
    }
    let name = format!("{NAME}/session");
    if selection.includes(&name) {
        let count = 20 * size.rounds as i64;
        let [none, lockstep] = [
            first_inserts(&mut server, false, count)?,
            first_inserts(&mut server, true, count)?,
        ];
        for (variant, elapsed) in [("none", none), ("lockstep", lockstep)] {
            table.push(vec![
                "insert, the first of a session".to_owned(),
                variant.to_owned(),
                format!("{elapsed:.2}"),
                format!("{:.2}", elapsed * 1_000.0),
            ]);
        }
        figures.push(Figure::with_reach(
            format!("{name}/first_insert/overhead"),
            lockstep - none,
            "ms",
            Reach::AtMost(5.0),
        ));
    }
    Ok(Report { table, figures })
}

/// The milliseconds of the first insert of a session.
fn first_inserts(server: &mut Server, attached: bool, count: i64) -> Result<f64> {
    server.with_copy(TEMPLATE, |copy| {
        attach(copy, attached)?;
        let mut samples = Vec::new();
        for place in 1..=count {
            let mut client = copy.cluster.connect(copy.database())?;
            let prepared = client.prepare(INSERT)?;
            let start = Instant::now();
            client.execute(&prepared, &[&place, &place])?;
            samples.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(median(samples))
    })
}

fn attach(copy: &mut Copy, attached: bool) -> Result<()> {
    if attached {
        copy.client
            .batch_execute("select * from lockstep.attach()")?;
    }
    copy.settle()
}

/// The milliseconds to insert `rows` rows with `statements` statements, in one transaction.
fn measure(server: &mut Server, attached: bool, rows: i64, statements: i64) -> Result<f64> {
    server.with_copy(TEMPLATE, |copy| {
        attach(copy, attached)?;
        let prepared = copy.client.prepare(INSERT)?;
        let each = rows / statements;
        let start = Instant::now();
        let mut transaction = copy.client.transaction()?;
        for place in 0..statements {
            transaction.execute(&prepared, &[&(place * each + 1), &((place + 1) * each)])?;
        }
        transaction.commit()?;
        Ok(start.elapsed().as_secs_f64() * 1_000.0)
    })
}
