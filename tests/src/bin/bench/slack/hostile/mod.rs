//! Hostile clients of each kind beside honest ones: how much memory they take, and whether anybody else notices them. Honest ones
//! give commands that ask the database; health checks come on the port for administrators.
//!
//! All of them run wherever the kernel puts them. Each kind has a sidecar of its own, so that memory is counted for each. The same is
//! measured with another server in place of the sidecar ([`other`]), in turns: it shows roughly what the hostile clients' own use of the
//! machine costs.

mod client;
mod kind;
mod other;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::http::Http;

use super::command::Typed;
use super::contender::Contender;
use super::load::{self, Outcome, Pace};
use super::placement::Placement;
use super::rounds::Course;
use super::workspace;
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;
use crate::table::Table;
use kind::Kind;

pub(crate) const NAME: &str = "hostile";

/// Of each kind.
const CLIENTS: usize = 64;

/// Honest commands per second.
const RATE: f64 = 100.0;
const LASTING: Duration = Duration::from_secs(5);

/// Between two health checks, and how long one may take at all.
const PERIOD: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut report = Report {
        table: Table::with_heading([
            "64 clients that send",
            "memory MB",
            "others' p99 ms",
            "beside them",
            "beside those of another server",
            "slowest health check ms",
        ]),
        figures: Vec::new(),
    };
    let mut server = Server::start()?;
    workspace::create(&mut server, &[Course::Status])?;
    server.with_copy(workspace::TEMPLATE, |copy| {
        copy.settle()?;
        let other = other::start()?;
        for kind in Kind::ALL {
            if selection.includes(&format!("{NAME}/{}", kind.name())) {
                measure(copy, kind, other, size, &mut report)?;
            }
        }
        Ok(())
    })?;
    server.drop_database(workspace::TEMPLATE)?;
    Ok(report)
}

fn measure(
    copy: &Copy,
    kind: Kind,
    other: SocketAddr,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    // It was free a moment ago, and nobody else uses loopback ports here.
    let admin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let listen = admin.to_string();
    let settings = [
        ("LOCKSTEP_ADMIN_LISTEN", &*listen),
        ("LOCKSTEP_GITLAB_TOKEN", kind::TOKEN),
        ("LOCKSTEP_GITLAB_SIGNING_TOKEN", kind::SIGNING_TOKEN),
        // The missing Slack is intended.
        ("RUST_LOG", "error"),
    ];
    let database = copy.cluster.address(copy.database());
    let sidecar = Contender::sidecar(Placement::Free, &database, &settings)?;
    let typed = Course::Status.typed();
    typed.check(&sidecar.caller)?;
    honest(&sidecar, &typed)?;
    let mut p99s = [Vec::new(), Vec::new(), Vec::new()];
    let (mut ratios, mut checks) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..size.rounds {
        let alone = honest(&sidecar, &typed)?.percentile(0.99);
        let at = |target| beside(&sidecar, &typed, kind, target, admin);
        // Neither is always the first.
        let ((here, slowest, sent), (elsewhere, ..)) = if round % 2 == 0 {
            let here = at(sidecar.address)?;
            (here, at(other)?)
        } else {
            let elsewhere = at(other)?;
            (at(sidecar.address)?, elsewhere)
        };
        eprintln!(
            "bench: {NAME}/{}: {sent} requests; p99 {alone:.2} ms, beside them {here:.2} ms, {elsewhere:.2} ms if another server gets them; slowest health check {slowest:.1} ms; {:.0} MB",
            kind.name(),
            sidecar.peak_memory()?
        );
        ratios[0].push(here / alone);
        ratios[1].push(elsewhere / alone);
        for (all, one) in p99s.iter_mut().zip([alone, here, elsewhere]) {
            all.push(one);
        }
        checks.push(slowest);
    }
    let ([alone, here, elsewhere], slowest) = (p99s.map(median), median(checks));
    let [ratio, ratio_elsewhere] = ratios.map(median);
    let memory = sidecar.peak_memory()?;
    report.table.push(vec![
        kind.describe().to_owned(),
        format!("{memory:.0}"),
        format!("{alone:.2}"),
        format!("{here:.2}"),
        format!("{elsewhere:.2}"),
        format!("{slowest:.1}"),
    ]);
    let figure = |what: &str, value, unit, most| {
        let name = format!("{NAME}/{}/{what}", kind.name());
        Figure::with_reach(name, value, unit, Reach::AtMost(most))
    };
    report.figures.extend([
        figure("memory", memory, "MB", 150.0),
        figure("p99", ratio, "ratio", 2.0),
        figure("healthz", slowest, "ms", 100.0),
        Figure::plain(
            format!("{NAME}/{}/p99/elsewhere", kind.name()),
            ratio_elsewhere,
            "ratio",
        ),
    ]);
    Ok(())
}

/// The 99th percentile of honest commands beside hostile clients that send to `target`, the slowest health check, and how many
/// requests those have sent.
fn beside(
    sidecar: &Contender,
    typed: &Typed,
    kind: Kind,
    target: SocketAddr,
    admin: SocketAddr,
) -> Result<(f64, f64, usize)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let hostile = scope.spawn(|| client::run(kind, target, CLIENTS, &is_over));
        let checking = scope.spawn(|| check(admin, &is_over));
        let beside = honest(sidecar, typed);
        is_over.store(true, Ordering::Relaxed);
        let ended = |_| anyhow!("a thread ended");
        let sent = hostile.join().map_err(ended)??;
        let slowest = checking.join().map_err(ended)??;
        Ok((beside?.percentile(0.99), slowest, sent))
    })
}

/// All of them are answered.
fn honest(sidecar: &Contender, typed: &Typed) -> Result<Outcome> {
    let requests = typed.requests(&sidecar.caller);
    load::run(
        sidecar.address,
        requests,
        Pace::PerSecond(RATE),
        LASTING,
        None,
    )
}

/// The milliseconds of the slowest health check, each on a connection of its own.
fn check(admin: SocketAddr, is_over: &AtomicBool) -> Result<f64> {
    let mut slowest: f64 = 0.0;
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let reply = Http::new(PATIENCE).get(&format!("http://{admin}/healthz"), &[])?;
        ensure!(reply.status == 200, "{}", reply.text());
        slowest = slowest.max(begun.elapsed().as_secs_f64() * 1e3);
        sleep(PERIOD);
    }
    Ok(slowest)
}
