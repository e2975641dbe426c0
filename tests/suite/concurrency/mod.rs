//! Shared by tests of concurrent sessions: who waits for whom, and an oracle independent of the extension.

mod prepared;

use std::thread::{ScopedJoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;

/// The time limit for anything that another session has to do first. It only decides whether a test hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How many notifications a session that listens to the channel has got since the last time.
pub(crate) fn heard(listener: &mut Client, client: &mut Client, channel: &str) -> Result<usize> {
    // Notifications arrive in commit order, so after this one all earlier ones have arrived.
    client.batch_execute(&format!("notify {channel}, 'last'"))?;
    let mut notifications = listener.notifications();
    let mut all = notifications.timeout_iter(PATIENCE);
    let mut count = 0;
    while let Some(notification) = all.next()? {
        if notification.payload() == "last" {
            return Ok(count);
        }
        ensure!(notification.payload().is_empty(), "no payload is promised");
        count += 1;
    }
    bail!("the last notification did not come")
}

/// The projects whose cached values are wrong, by an independent query. It uses a single snapshot, so it is valid at any time,
/// whatever other sessions are doing.
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

/// Fails if a cached value of `projects` is wrong, or if the extension reports one that is not.
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

/// The backend process of a connection.
pub(crate) fn pid_of(client: &mut Client) -> Result<i32> {
    Ok(client.query_one("select pg_backend_pid()", &[])?.get(0))
}

/// Whether a backend waits for a lock of another transaction, including prepared ones.
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

/// Returns true once a session waits for a lock, or false once it has ended.
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
