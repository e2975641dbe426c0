//! Jobs that do nothing: enqueued individually in statements of a hundred, while two runners wait for them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::NAME;
use super::runners::{Peer, Runners};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;

const TEMPLATE: &str = "queues";
const AT_ONCE: u32 = 100;

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/throughput");
    if !selection.includes(&name) {
        return Ok(());
    }
    let Some(peers) = Peer::all()? else {
        eprintln!("bench: {name} is left out, as there is no npm to install its peer with");
        return Ok(());
    };
    server.create_template(TEMPLATE, |client| {
        client.batch_execute("create extension lockstep")?;
        Ok(())
    })?;
    let jobs = size.rows / 5;
    let mut rates = peers.map(|_| Vec::new());
    for _ in 0..size.rounds {
        for (peer, rates) in peers.into_iter().zip(&mut rates) {
            let rate = server.with_copy(TEMPLATE, |copy| {
                let _runners = Runners::start(copy, peer)?;
                let client = &mut copy.client;
                let enqueue = client.prepare(peer.enqueue())?;
                let start = Instant::now();
                for _ in 0..jobs / AT_ONCE {
                    client.execute(&enqueue, &[&i32::try_from(AT_ONCE)?])?;
                }
                while client.query_one(peer.left(), &[])?.get::<_, bool>(0) {
                    sleep(Duration::from_millis(5));
                }
                Ok(f64::from(jobs) / start.elapsed().as_secs_f64())
            })?;
            eprintln!("bench: {name}, {}: {rate:.0} jobs/s", peer.name());
            rates.push(rate);
        }
    }
    server.drop_database(TEMPLATE)?;
    let medians = rates.map(median);
    for (peer, rate) in peers.into_iter().zip(medians) {
        report.table.push(vec![
            format!("{jobs} empty jobs, 2 runners"),
            peer.name().to_owned(),
            format!("{rate:.0}"),
            "jobs/s".to_owned(),
        ]);
    }
    let [ours, theirs, tuned] = medians;
    report.figures.extend([
        Figure::with_reach(
            format!("{name}/of_graphile_worker"),
            ours / theirs,
            "ratio",
            Reach::AtLeast(3.0),
        ),
        Figure::plain(
            format!("{name}/of_graphile_worker_in_batches"),
            ours / tuned,
            "ratio",
        ),
    ]);
    Ok(())
}
