//! Random concurrency: eight sessions at mixed isolation levels change a few projects in every possible way, while a ninth keeps
//! checking that all cached values are right.
//!
//! LOCKSTEP_SEED=... replays the statements of a run; the interleaving depends on the machine. LOCKSTEP_STATEMENTS=... sets the
//! total number of statements.

pub(crate) mod plan;
mod session;

use std::env;
use std::fmt::Debug;
use std::io::{Write, stderr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::concurrency::{assert_in_lockstep, assert_right};
use crate::database::{cluster, with_host};
use crate::random::plan::{Dice, Kind, PROJECTS, Transaction};
use crate::random::session::{Counts, Session};
use crate::settings::{self, commands};

const DATABASE: &str = "random";
const SESSIONS: u64 = 8;
const STATEMENTS: u64 = 30_000;

/// The number in an environment variable; an invalid value is an error, not the default.
fn from_environment<T: FromStr<Err: Debug>>(name: &str) -> Result<Option<T>> {
    match env::var(name) {
        Ok(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(error) => Err(anyhow!("{name}={text}: {error:?}")),
        },
        Err(_) => Ok(None),
    }
}

/// The seed of this run, or of the one to replay.
pub(crate) fn seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(from_environment("LOCKSTEP_SEED")?.unwrap_or(u64::from(now.subsec_nanos()) ^ now.as_secs()))
}

#[test]
fn random_sessions_leave_no_wrong_value_at_any_moment() -> Result<()> {
    let seed = seed()?;
    let statements = from_environment("LOCKSTEP_STATEMENTS")?.unwrap_or(STATEMENTS);
    // Bypasses the capture of test output: the seed is needed even if the run hangs.
    writeln!(
        stderr(),
        "random: LOCKSTEP_SEED={seed} LOCKSTEP_STATEMENTS={statements}"
    )?;
    let mut client = with_host(DATABASE, Layout::Narrow)?;
    client.batch_execute("select lockstep.attach()")?;
    client.batch_execute(&format!(
        "insert into projects (id, namespace_id) select id, 1 from generate_series(1, {PROJECTS}) id"
    ))?;
    let (counts, looks) = run(seed, statements.div_ceil(SESSIONS))
        .with_context(|| format!("LOCKSTEP_SEED={seed}"))?;
    writeln!(stderr(), "{counts}\nlooks in between: {looks}")?;
    assert_in_lockstep(&mut client).with_context(|| format!("LOCKSTEP_SEED={seed}"))?;
    ensure!(looks > 0, "nobody looked while the sessions ran");
    ensure!(
        counts.succeeded() * 2 >= counts.total(),
        "most statements failed"
    );
    if statements >= STATEMENTS {
        let missing: Vec<Kind> = Kind::all()
            .filter(|kind| counts.succeeded_of(*kind) == 0)
            .collect();
        ensure!(missing.is_empty(), "never succeeded: {missing:?}");
    }
    Ok(())
}

/// Runs all sessions; returns their counts, and the number of checks.
fn run(seed: u64, statements: u64) -> Result<(Counts, u64)> {
    let is_running = AtomicBool::new(true);
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|number| scope.spawn(move || one_session(seed, number, statements)))
            .collect();
        let observer = scope.spawn(|| observe(&is_running));
        let counts = sessions.into_iter().map(|session| session.join());
        let counts: Vec<_> = counts.collect();
        is_running.store(false, Ordering::Relaxed);
        let looks = observer
            .join()
            .map_err(|_| anyhow!("the observer panicked"))??;
        let mut all = Counts::default();
        for outcome in counts {
            all.add(outcome.map_err(|_| anyhow!("a session panicked"))??);
        }
        Ok((all, looks))
    })
}

fn one_session(seed: u64, number: u64, statements: u64) -> Result<Counts> {
    let mut dice = Dice::new(seed, number);
    let mut client = connect()?;
    // Every other session has the application's settings; the others have random ones.
    let drawn = settings::draw(&mut dice);
    if number % 2 == 1 {
        client.batch_execute(&commands(&drawn)?)?;
        writeln!(stderr(), "session {number}: {drawn:?}")?;
    }
    let mut session = Session::new(client, format!("random_{number}"));
    while session.counts().total() < statements {
        session
            .run(&Transaction::draw(&mut dice))
            .with_context(|| format!("session {number}"))?;
    }
    Ok(session.into_counts())
}

/// Every snapshot shows complete, committed transactions, so no value may be wrong in any.
fn observe(is_running: &AtomicBool) -> Result<u64> {
    let mut client = connect()?;
    let mut looks = 0;
    while is_running.load(Ordering::Relaxed) {
        match assert_right(&mut client) {
            Ok(()) => looks += 1,
            // It waits for tables that are being truncated like everyone else, and can be the deadlock victim.
            Err(error) if is_deadlock(&error) => {}
            Err(error) => return Err(error.context("while the sessions ran")),
        }
    }
    Ok(looks)
}

fn is_deadlock(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<postgres::Error>();
    error.and_then(postgres::Error::code) == Some(&postgres::error::SqlState::T_R_DEADLOCK_DETECTED)
}

fn connect() -> Result<Client> {
    let mut client = cluster()?.connect(DATABASE)?;
    // Deadlocks are expected: rows of integrations are locked in any order.
    client.batch_execute("set deadlock_timeout = '20ms'; set client_min_messages = warning")?;
    Ok(client)
}
