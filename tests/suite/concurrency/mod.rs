//! What the tests of concurrent sessions share: who waits for whom, and the oracle that does not ask the extension.

mod prepared;

use std::thread::{ScopedJoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;

/// How long anything that another session has to do first may take. Nothing is decided by it but that a test has hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The projects whose cached values are wrong, by a query of its own. It takes one snapshot, so it holds at any moment,
/// whatever other sessions are about.
const WRONG: &str = "
select p.id, p.has_external_issue_tracker, p.has_external_wiki from projects p
 where p.has_external_issue_tracker is distinct from exists (
         select from integrations i where i.project_id = p.id and i.active and i.category = 'issue_tracker')
    or p.has_external_wiki is distinct from exists (
         select from integrations i
          where i.project_id = p.id and i.active and i.type_new = 'Integrations::ExternalWiki')
 order by p.id";

/// Fails if a cached value of `projects` is wrong.
pub(crate) fn assert_right(client: &mut Client) -> Result<()> {
    let wrong: Vec<String> = client
        .query(WRONG, &[])?
        .iter()
        .map(|row| {
            let (tracker, wiki) = (row.get::<_, Option<bool>>(1), row.get::<_, Option<bool>>(2));
            format!(
                "project {}: tracker {tracker:?}, wiki {wiki:?}",
                row.get::<_, i64>(0)
            )
        })
        .collect();
    ensure!(wrong.is_empty(), "wrong values: {wrong:?}");
    Ok(())
}

/// Fails if a cached value of `projects` is wrong, or if the extension finds one wrong that is not.
pub(crate) fn assert_in_lockstep(client: &mut Client) -> Result<()> {
    assert_right(client)?;
    let drift = client.query_one(
        "select (select count(*) from lockstep.cache_column_drift('projects', 'has_external_issue_tracker')),
                (select count(*) from lockstep.cache_column_drift('projects', 'has_external_wiki'))",
        &[],
    )?;
    let drift: (i64, i64) = (drift.get(0), drift.get(1));
    ensure!(drift == (0, 0), "cache_column_drift reports {drift:?} rows");
    Ok(())
}

/// The process at the other end of a connection.
pub(crate) fn pid_of(client: &mut Client) -> Result<i32> {
    Ok(client.query_one("select pg_backend_pid()", &[])?.get(0))
}

/// Whether a backend waits for a lock that another transaction holds, be it a prepared one.
pub(crate) fn is_blocked(witness: &mut Client, pid: i32) -> Result<bool> {
    let row = witness.query_one("select cardinality(pg_blocking_pids($1)) > 0", &[&pid])?;
    Ok(row.get(0))
}

/// Returns once a backend waits for a lock.
pub(crate) fn wait_until_blocked(witness: &mut Client, pid: i32) -> Result<()> {
    let start = Instant::now();
    while !is_blocked(witness, pid)? {
        ensure!(
            start.elapsed() < PATIENCE,
            "backend {pid} does not wait for any lock"
        );
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Returns once a session either waits for a lock, which is true, or has ended.
pub(crate) fn settle<T>(
    session: &ScopedJoinHandle<'_, T>,
    witness: &mut Client,
    pid: i32,
) -> Result<bool> {
    let start = Instant::now();
    while !session.is_finished() {
        if is_blocked(witness, pid)? {
            return Ok(true);
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "backend {pid} neither waits nor ends"
        );
        sleep(Duration::from_millis(1));
    }
    Ok(false)
}
