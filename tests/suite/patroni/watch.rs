//! What one change of the leader does to those who use it: how long, and what the run says meanwhile.

use std::collections::BTreeSet;
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::Http;
use lockstep_tests::patroni::Patroni;
use postgres::Client;

use crate::backfill::wait_until;
use crate::concurrency::assert_in_lockstep;
use crate::patroni::load::PATIENCE;
use crate::patroni::scene::{DATABASE, Scene};
use crate::slack_app::http;

/// Short beside what is measured.
const LOOK: Duration = Duration::from_millis(10);

/// What `held_by` may say of a run without workers that will go on by itself.
const TAKEN_UP: [&str; 2] = [
    "its workers start",
    "no worker: a sidecar or pg_cron resumes the run, or call lockstep.resume_backfill",
];

/// Begins before the change.
pub(crate) struct Watch {
    what: &'static str,
    begun: Instant,
    leader: usize,
    /// When each server started.
    started: Vec<Option<SystemTime>>,
}

/// When a server began to answer as the leader, and a session with it.
struct Promoted {
    at: Instant,
    client: Client,
}

impl Watch {
    pub(crate) fn new(patroni: &Patroni, what: &'static str) -> Result<Self> {
        patroni.wait_until_whole()?;
        let mut started = Vec::new();
        for node in 0..patroni.nodes().len() {
            started.push(state(patroni, node).ok().map(|(_, _, started)| started));
        }
        Ok(Self {
            what,
            leader: patroni.leader()?,
            started,
            begun: Instant::now(),
        })
    }

    /// Waits for the next leader, and until everything continues with it.
    pub(crate) fn end(
        self,
        patroni: &Patroni,
        scene: &mut Scene,
        goes_on: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let is_over = AtomicBool::new(false);
        let bases: Vec<String> = scene.serving.iter().map(|it| it.base.clone()).collect();
        let (promoted, taken_up, ready) = thread::scope(|scope| -> Result<_> {
            let looking: Vec<_> = bases
                .iter()
                .map(|base| scope.spawn(|| ready_times(base, &is_over)))
                .collect();
            let seen = (|| -> Result<_> {
                let mut promoted = self.promoted(patroni)?;
                let taken_up = taken_up(&mut promoted.client, scene.run)?;
                goes_on()?;
                Ok((promoted, taken_up))
            })();
            is_over.store(true, Ordering::SeqCst);
            let mut ready = Vec::new();
            for sidecar in looking {
                ready.push(sidecar.join().ok().context("a thread panicked")?);
            }
            let (promoted, taken_up) = seen?;
            Ok((promoted, taken_up, ready))
        })?;
        let Promoted { at, mut client } = promoted;
        let mut waited = Vec::new();
        for times in &ready {
            let first = times.iter().find(|time| **time >= at);
            let first = first.context("a sidecar is not ready again")?;
            waited.push(first.duration_since(at));
        }
        writeln!(
            stderr(),
            "patroni: {}: a server leads after {:.1?}; from then on sidecars are ready after {waited:.1?}, \
             the run has workers after {:.1?}",
            self.what,
            at.duration_since(self.begun),
            taken_up.duration_since(at),
        )?;
        assert_in_lockstep(&mut client)?;
        scene.assert_alive()?;
        // A number may be left out after a crash, and none comes twice.
        let run: i64 = client
            .query_one("select lockstep.start_backfill('small', workers => 1)", &[])?
            .get(0);
        ensure!(run > scene.run, "run {run} after run {}", scene.run);
        wait_until(&mut client, run, "status = 'finished'")
    }

    /// The first answer of a server that leads and is not the one that led, or has been started again.
    fn promoted(&self, patroni: &Patroni) -> Result<Promoted> {
        let begun = Instant::now();
        loop {
            for node in 0..patroni.nodes().len() {
                let Ok((client, is_standby, started)) = state(patroni, node) else {
                    continue;
                };
                if !is_standby && (node != self.leader || self.started[node] != Some(started)) {
                    let at = Instant::now();
                    return Ok(Promoted { at, client });
                }
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "no server leads: {:?}",
                patroni.members()
            );
            sleep(LOOK);
        }
    }
}

/// A server's session, whether it is a standby, and when it started.
fn state(patroni: &Patroni, node: usize) -> Result<(Client, bool, SystemTime)> {
    let mut client = patroni.connect_to(node, DATABASE)?;
    let query = "select pg_is_in_recovery(), pg_postmaster_start_time()";
    let row = client.query_one(query, &[])?;
    let (is_standby, started) = (row.get(0), row.get(1));
    Ok((client, is_standby, started))
}

/// When a sidecar said that it was ready.
fn ready_times(base: &str, is_over: &AtomicBool) -> Vec<Instant> {
    let (http, url): (Http, _) = (http(), format!("{base}/readyz"));
    let mut times = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        if http.get(&url, &[]).is_ok_and(|reply| reply.status == 200) {
            times.push(Instant::now());
        }
        sleep(LOOK);
    }
    times
}

/// Waits until the run has workers again; until then it says who will start them.
fn taken_up(client: &mut Client, run: i64) -> Result<Instant> {
    let query = "select cardinality(pids), held_by from lockstep.backfill_progress where run = $1 and status = 'running'";
    let begun = Instant::now();
    let mut said = BTreeSet::new();
    loop {
        let row = client.query_opt(query, &[&run])?;
        let row = row.context("the run does not run any more")?;
        if row.get::<_, i32>(0) > 0 {
            ensure!(
                said.iter().all(|text: &String| TAKEN_UP.contains(&&**text)),
                "{said:?}"
            );
            return Ok(Instant::now());
        }
        said.insert(row.get::<_, Option<String>>(1).unwrap_or_default());
        ensure!(begun.elapsed() < PATIENCE, "nobody takes it up: {said:?}");
        sleep(LOOK);
    }
}
