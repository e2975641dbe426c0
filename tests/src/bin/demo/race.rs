//! Two sessions that write integrations of one project at the same time.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use postgres::Client;

use crate::place::Place;
use crate::scene::{Scene, report};

/// A project with two trackers, and what each of two sessions does to one of them.
struct Race {
    title: &'static str,
    project: i64,
    /// Whether Jira and Redmine are active at the start.
    before: (bool, bool),
    /// Whether the first session leaves Jira active, and the second one Redmine.
    after: (bool, bool),
}

const RACES: [Race; 2] = [
    Race {
        title: "both sessions deactivate a tracker",
        project: 1,
        before: (true, true),
        after: (false, false),
    },
    Race {
        title: "the first session activates, the second deactivates",
        project: 2,
        before: (false, true),
        after: (true, false),
    },
];

/// Runs both races and returns how many values were wrong afterwards.
pub(crate) fn run(place: &Place, client: &mut Client, number: &str) -> Result<i64> {
    let mut wrong = 0;
    for race in &RACES {
        prepare(client, race)?;
        let title = format!("{number} Race: {}", race.title);
        let scene = Scene::open(client, &title, &[race.project], &[])?;
        collide(place, client, race)?;
        wrong += scene.close(client)?;
    }
    Ok(wrong)
}

/// Gives the project the two trackers of the race and nothing else.
fn prepare(client: &mut Client, race: &Race) -> Result<()> {
    client.execute(
        "delete from integrations where project_id = $1",
        &[&race.project],
    )?;
    client.execute(
        "insert into integrations (project_id, type_new, category, active) \
         values ($1, 'Integrations::Jira', 'issue_tracker', $2), ($1, 'Integrations::Redmine', 'issue_tracker', $3)",
        &[&race.project, &race.before.0, &race.before.1],
    )?;
    Ok(())
}

/// The first session writes without committing; the second writes and has to wait.
fn collide(place: &Place, watcher: &mut Client, race: &Race) -> Result<()> {
    let mut first = place.connect()?;
    let mut second = place.connect()?;
    let process: i32 = second.query_one("select pg_backend_pid()", &[])?.get(0);
    let statement = |kind: &str, active: bool| {
        format!(
            "update integrations set active = {active} where project_id = {} and type_new = 'Integrations::{kind}'",
            race.project
        )
    };
    let mut transaction = first.transaction()?;
    let (start, jira) = (Instant::now(), statement("Jira", race.after.0));
    let rows = transaction.execute(&jira, &[])?;
    println!("    -- first session, not committed");
    report(&jira, Some(rows), start.elapsed());

    let redmine = statement("Redmine", race.after.1);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| -> Result<()> {
        scope.spawn(|| sender.send((second.execute(&redmine, &[]), Instant::now())));
        let blocked = wait_until_blocked(watcher, process);
        let committed = transaction.commit();
        let (result, end) = receiver.recv().context("the second session is gone")?;
        let rows = result?;
        let waited = if blocked? {
            "waited for the first to commit"
        } else {
            "did not wait"
        };
        println!("    -- second session: {waited}");
        report(&redmine, Some(rows), end - start);
        committed.map_err(|error| anyhow!(error))
    })
}

/// Waits, for a limited time, until a session waits for a lock.
fn wait_until_blocked(watcher: &mut Client, process: i32) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        let row = watcher.query_one("select cardinality(pg_blocking_pids($1)) > 0", &[&process])?;
        if row.get(0) {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(false)
}
