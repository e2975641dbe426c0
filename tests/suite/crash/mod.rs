//! kill -9 in the middle of a flush, of the flushing backend and of the postmaster: recovery undoes the whole statement,
//! integrations and cached values alike.
//!
//! Another session's lock on one project's row stops a flush in the middle: keys before that one have been locked or written,
//! later ones have not.

mod prepared;

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, error::SqlState};

use crate::concurrency::{PATIENCE, assert_in_lockstep, pid_of, wait_until_blocked};

pub(crate) const DATABASE: &str = "crash";

const PROJECTS: i64 = 200;

/// Where the flush is stopped.
const KEYS: [i64; 3] = [2, 100, PROJECTS];

/// The state before, and the statement whose flush is killed.
const STATEMENTS: [(&str, &str, Hold); 5] = [
    // All become true, or false: locked first, in key order.
    ("false", "update integrations set active = true", Hold::Row),
    ("true", "update integrations set active = false", Hold::Row),
    ("true", "delete from integrations", Hold::Row),
    // Already locked: stopped while it writes.
    (
        "true",
        "update integrations set active = false",
        Hold::Write,
    ),
    // Two definitions: the wikis become true, the trackers do not.
    (
        "true",
        "update integrations set type_new = 'Integrations::ExternalWiki', category = 'common'",
        Hold::Write,
    ),
];

/// What the flush waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// The lock of the project's row.
    Row,
    /// An advisory lock that an application trigger takes for each project before it is written.
    Write,
}

impl Hold {
    fn take(self, client: &mut Client, key: i64) -> Result<()> {
        client.batch_execute("begin")?;
        match self {
            Self::Row => client.execute(
                "select from projects where id = $1 for no key update",
                &[&key],
            )?,
            Self::Write => client.execute("select pg_advisory_xact_lock($1)", &[&key])?,
        };
        Ok(())
    }
}

const PAUSE: &str = "
create function pause() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(new.id);
  return new;
end $$;
create trigger pause before update on projects for each row execute function pause();
";

/// Its own cluster, because it is killed repeatedly.
pub(crate) fn start(purpose: &str) -> Result<Cluster> {
    let cluster = Cluster::start(purpose, &[])?;
    let mut client = cluster.create_database(DATABASE)?;
    host::create(&mut client, Layout::Narrow)?;
    client.batch_execute("create extension lockstep_slack cascade; select lockstep.attach(); select lockstep.attach_slack()")?;
    client.batch_execute(PAUSE)?;
    client.batch_execute(&format!(
        "insert into projects (id, namespace_id) select id, 1 from generate_series(1, {PROJECTS}) id"
    ))?;
    Ok(cluster)
}

/// One tracker per project, all active or none.
pub(crate) fn lay_out(client: &mut Client, active: &str) -> Result<()> {
    client.batch_execute(&format!(
        "delete from integrations;
         insert into integrations (project_id, type_new, category, active)
         select id, 'Integrations::Jira', 'issue_tracker', {active} from projects"
    ))?;
    Ok(())
}

/// Kills a server process by id, taken from `pg_backend_pid` on a connection to that server.
pub(crate) fn kill_backend(pid: i32) -> Result<()> {
    kill(Pid::from_raw(pid), Signal::SIGKILL).context("cannot kill the backend")
}

/// Connects as soon as the server accepts connections again after a backend's crash.
pub(crate) fn reconnect(cluster: &Cluster) -> Result<Client> {
    let start = Instant::now();
    loop {
        match cluster.connect(DATABASE) {
            Ok(client) => return Ok(client),
            Err(error) if start.elapsed() > PATIENCE => bail!("no recovery: {error:#}"),
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
}

/// Returns once a connection is broken: its backend has died with the others.
pub(crate) fn wait_until_lost(client: &mut Client) -> Result<()> {
    let start = Instant::now();
    while client.simple_query("select").is_ok() {
        ensure!(start.elapsed() < PATIENCE, "the crash spared a connection");
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The rows of integrations and the cached values, to compare before and after.
fn fingerprint(client: &mut Client) -> Result<String> {
    let row = client.query_one(
        "select md5(coalesce((select string_agg(i::text, ',' order by i.id) from integrations i), '')
                    || (select string_agg(p::text, ',' order by p.id) from projects p))",
        &[],
    )?;
    Ok(row.get(0))
}

/// Whether another session has locked the project's row.
fn is_locked(client: &mut Client, key: i64) -> Result<bool> {
    let answer = client.execute(
        "select from projects where id = $1 for no key update nowait",
        &[&key],
    );
    match answer {
        Ok(_) => Ok(false),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Backend,
    Postmaster,
}

fn crash(
    cluster: &mut Cluster,
    victim: Victim,
    (active, statement, hold): (&str, &str, Hold),
    key: i64,
) -> Result<()> {
    let mut holder = cluster.connect(DATABASE)?;
    let mut flusher = cluster.connect(DATABASE)?;
    let mut witness = cluster.connect(DATABASE)?;
    lay_out(&mut witness, active)?;
    let before = fingerprint(&mut witness)?;
    hold.take(&mut holder, key)?;
    let pid = pid_of(&mut flusher)?;
    thread::scope(|scope| -> Result<()> {
        let flushing = scope.spawn(|| flusher.batch_execute(statement));
        wait_until_blocked(&mut witness, pid)?;
        ensure!(
            is_locked(&mut witness, 1)?,
            "the flush has not got anywhere yet"
        );
        let has_all = hold == Hold::Write || key == PROJECTS;
        ensure!(
            is_locked(&mut witness, PROJECTS)? == has_all,
            "the flush is not where it was to be caught"
        );
        match victim {
            Victim::Backend => kill_backend(pid)?,
            Victim::Postmaster => cluster.kill_postmaster()?,
        }
        let outcome = flushing
            .join()
            .map_err(|_| anyhow!("the session panicked"))?;
        ensure!(outcome.is_err(), "the statement outlived its backend");
        Ok(())
    })?;
    wait_until_lost(&mut witness)?;
    if victim == Victim::Postmaster {
        cluster.resume()?;
    }
    let mut client = reconnect(cluster)?;
    assert_in_lockstep(&mut client)?;
    ensure!(
        fingerprint(&mut client)? == before,
        "the statement was not undone as a whole"
    );
    // The same statement, undisturbed: nothing is left of the crash.
    client.batch_execute(statement)?;
    assert_in_lockstep(&mut client)?;
    ensure!(
        fingerprint(&mut client)? != before,
        "the statement changes nothing"
    );
    Ok(())
}

fn crash_at_every_point(purpose: &str, victim: Victim) -> Result<()> {
    let mut cluster = start(purpose)?;
    for statement in STATEMENTS {
        for key in KEYS {
            crash(&mut cluster, victim, statement, key)
                .with_context(|| format!("{victim:?} killed at project {key} of {statement:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn killed_backend_leaves_nothing_of_its_flush() -> Result<()> {
    crash_at_every_point("crash_backend", Victim::Backend)
}

#[test]
fn killed_postmaster_leaves_nothing_of_a_flush() -> Result<()> {
    crash_at_every_point("crash_postmaster", Victim::Postmaster)
}
