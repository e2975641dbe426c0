//! How many single-statement transactions per second many clients commit if a commit takes 7 ms: this shows commits that wait for
//! each other.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::Client;

use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::server::{Copy, Server};
use crate::size::Size;

const WARM_UP: Duration = Duration::from_millis(500);
const LASTING: Duration = Duration::from_secs(2);

/// A statement compared with a plain insert.
pub(crate) struct Comparison<'a> {
    pub(crate) name: String,
    pub(crate) template: &'a str,
    pub(crate) clients: usize,
    /// Inserts one row into a table with as many indexes.
    pub(crate) plain: &'a str,
    pub(crate) ours: &'a str,
    /// Two statements by which a session announces that it waits for what the statement produces.
    pub(crate) wait: [&'a str; 2],
    pub(crate) least: f64,
    /// Adds the name and the rate per second to the table.
    pub(crate) row: &'a dyn Fn(&mut Report, &str, f64),
}

pub(crate) fn run(
    server: &mut Server,
    size: Size,
    report: &mut Report,
    comparison: &Comparison,
) -> Result<()> {
    let Comparison { name, wait, .. } = comparison;
    let contenders: [(&str, &str, &[&str]); 3] = [
        ("a plain insert", comparison.plain, &[]),
        ("lockstep", comparison.ours, &[]),
        ("lockstep, beside one who waits", comparison.ours, wait),
    ];
    let mut rates = contenders.map(|_| Vec::new());
    for _ in 0..size.rounds {
        for ((what, statement, waiting), rates) in contenders.iter().zip(&mut rates) {
            let rate = server.with_copy(comparison.template, |copy| {
                let mut waiter = copy.cluster.connect(copy.database())?;
                for statement in *waiting {
                    waiter.batch_execute(statement)?;
                }
                slow_commits(&mut copy.client, true)?;
                let rate = rate(copy, statement, comparison.clients);
                slow_commits(&mut copy.client, false)?;
                rate
            })?;
            eprintln!("bench: {name}, {what}: {rate:.0} a second");
            rates.push(rate);
        }
    }
    let medians = rates.map(median);
    for ((what, _, _), rate) in contenders.iter().zip(medians) {
        (comparison.row)(report, what, rate);
    }
    let [plain, ours, beside_waiting] = medians;
    for (part, rate) in [("", ours), ("_beside_one_who_waits", beside_waiting)] {
        report.figures.push(Figure::with_reach(
            format!("{name}/of_plain_insert{part}"),
            rate / plain,
            "ratio",
            Reach::AtLeast(comparison.least),
        ));
    }
    Ok(())
}

/// The server only delays a commit when it writes it to disk.
pub(crate) fn slow_commits(client: &mut Client, are_slow: bool) -> Result<()> {
    for (name, value) in [
        ("fsync", "on"),
        ("commit_delay", "5000"),
        ("commit_siblings", "0"),
    ] {
        client.batch_execute(&match are_slow {
            true => format!("alter system set {name} = {value}"),
            false => format!("alter system reset {name}"),
        })?;
    }
    client.batch_execute("select pg_reload_conf()")?;
    let expected = if are_slow { "5000" } else { "0" };
    let begun = Instant::now();
    while client
        .query_one("show commit_delay", &[])?
        .get::<_, &str>(0)
        != expected
    {
        ensure!(begun.elapsed() < Duration::from_secs(30), "no reload");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn rate(copy: &Copy, statement: &str, count_of_clients: usize) -> Result<f64> {
    let begins = Instant::now() + WARM_UP;
    let ends = begins + LASTING;
    let count = |mut client: Client| -> Result<u32> {
        let statement = client.prepare(statement)?;
        let mut count = 0;
        while Instant::now() < ends {
            client.execute(&statement, &[])?;
            let now = Instant::now();
            count += u32::from(now >= begins && now < ends);
        }
        Ok(count)
    };
    let mut clients = Vec::new();
    for _ in 0..count_of_clients {
        clients.push(copy.cluster.connect(copy.database())?);
    }
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(move || count(client)))
            .collect();
        let mut all = 0;
        for thread in threads {
            let counted = thread.join().ok().context("a client panicked")?;
            all += counted?;
        }
        Ok(f64::from(all) / LASTING.as_secs_f64())
    })
}
