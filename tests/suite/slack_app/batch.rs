//! Reads that are asked together.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::http::FORM;
use lockstep_tests::slack::Caller;
use lockstep_tests::slack::caller::Origin;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::slack_app::{COMMANDS, Stage};

/// What `pg_stat_activity` says of the sidecar's sessions.
const SIDECARS: &str = "datname = current_database() and application_name like 'lockstep-sidecar%'";

/// The same of those that wait for a lock.
const WAITS: &str = "datname = current_database() and wait_event_type = 'Lock'";

const NAMES: [&str; 3] = ["group/one", "group/two", "group/three"];

/// A stage with three connected projects, and somebody who gives commands.
fn set(name: &str) -> Result<(Stage, Origin)> {
    let mut stage = Stage::set(name)?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    for project in 1..=3 {
        stage.connect(project)?;
    }
    let origin = Origin {
        team_id: Some(team.id.clone()),
        user_id: ada.id,
        ..Origin::default()
    };
    Ok((stage, origin))
}

fn say(caller: &Caller, origin: &Origin, text: &str) -> Result<String> {
    let answer = caller.command(COMMANDS, origin, "/gitlab", text)?.json()?;
    Ok(answer["text"].as_str().unwrap_or_default().to_owned())
}

/// A session that is described so.
fn session(client: &mut Client, which: &str) -> Result<Option<i32>> {
    let query = format!("select pid from pg_stat_activity where {which} limit 1");
    Ok(client.query_opt(&query, &[])?.map(|row| row.get(0)))
}

/// Waits until there is one, or none any more.
fn wait_for(client: &mut Client, which: &str) -> Result<i32> {
    let begun = Instant::now();
    loop {
        if let Some(pid) = session(client, which)? {
            return Ok(pid);
        }
        ensure!(begun.elapsed() < PATIENCE, "no session: {which}");
    }
}

fn wait_for_end(client: &mut Client, which: &str) -> Result<()> {
    let begun = Instant::now();
    while session(client, which)?.is_some() {
        ensure!(begun.elapsed() < PATIENCE, "there still is one: {which}");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

const CALLS: [&str; 2] = [
    "lockstep_database_call_duration_seconds_count",
    "slack_integrations_by_alias",
];

const CLIENTS: usize = 16;
const QUESTIONS: usize = 40;

/// Clients that ask at the same time, each for [`QUESTIONS`] aliases. Some of these share a call.
fn at_once(stage: &Stage, client: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let client = &client;
    thread::scope(|scope| {
        let asking: Vec<_> = (0..CLIENTS)
            .map(|place| scope.spawn(move || client(place)))
            .collect();
        asking
            .into_iter()
            .try_for_each(|it| it.join().map_err(|_| anyhow!("a client ended"))?)
    })?;
    let calls = stage.sidecar.metric(&CALLS)?;
    ensure!(
        calls > 0.0 && calls < (CLIENTS * QUESTIONS) as f64,
        "each was asked alone: {calls}"
    );
    Ok(())
}

/// Until this session rolls back, or ends.
fn lock_integrations(database: &str) -> Result<Client> {
    let mut holder = cluster()?.connect(database)?;
    holder.batch_execute("begin; lock table integrations in access exclusive mode")?;
    Ok(holder)
}

/// Somebody asks for the status of each project, and of one that is not there, and again.
fn ask(caller: &Caller, origin: &Origin, place: usize) -> Result<()> {
    for round in 0..QUESTIONS / 2 {
        let name = NAMES[(place + round) % NAMES.len()];
        let said = say(caller, origin, &format!("{name} status"))?;
        ensure!(said.starts_with(&format!("*{name}*")), "{name}: {said}");
        let said = say(caller, origin, &format!("group/none-{place} status"))?;
        ensure!(said.contains(&format!("group/none-{place}")), "{said}");
    }
    Ok(())
}

/// Somebody asks for the same alias again and again.
fn insist(caller: &Caller, origin: &Origin, path: &str) -> Result<()> {
    for _ in 0..QUESTIONS {
        let said = say(caller, origin, "same status")?;
        ensure!(said.contains(path), "{path}: {said}");
    }
    Ok(())
}

/// Two workspaces call different projects the same; one of them asks as its enterprise.
#[test]
fn the_same_alias_of_two_workspaces_is_each_ones_own() -> Result<()> {
    let (mut stage, of_one) = set("app_batch_teams")?;
    stage.client.batch_execute(
        "update slack_integrations set alias = 'same' where alias = 'group/one';
         update slack_integrations set alias = 'same', team_id = 'E0THER' where alias = 'group/two'",
    )?;
    let of_two = Origin {
        team_id: Some("T0THER".to_owned()),
        enterprise_id: Some("E0THER".to_owned()),
        user_id: of_one.user_id.clone(),
        ..Origin::default()
    };
    let caller = &stage.caller;
    let tenants = [(&of_one, "group/one"), (&of_two, "group/two")];
    at_once(&stage, |place| {
        let (origin, path) = tenants[place % 2];
        insist(caller, origin, path)
    })
}

#[test]
fn reads_at_the_same_time_share_a_call_and_get_answers_of_their_own() -> Result<()> {
    let (stage, origin) = set("app_batch")?;
    at_once(&stage, |place| ask(&stage.caller, &origin, place))
}

#[test]
fn a_read_after_the_end_of_all_sessions_is_answered() -> Result<()> {
    let (mut stage, origin) = set("app_batch_end")?;
    for _ in 0..3 {
        let end = format!(
            "select count(pg_terminate_backend(pid, 60000)) from pg_stat_activity where {SIDECARS}"
        );
        let ended: i64 = stage.client.query_one(&end, &[])?.get(0);
        ensure!(ended > 0, "the sidecar has no session");
        let said = stage.say(&origin, "group/two status")?;
        ensure!(said.starts_with("*group/two*"), "{said}");
    }
    Ok(())
}

#[test]
fn a_read_during_which_its_session_ends_is_asked_again() -> Result<()> {
    let name = "app_batch_lost";
    let (mut stage, origin) = set(name)?;
    let mut holder = lock_integrations(name)?;
    let caller = stage.caller.clone();
    thread::scope(|scope| -> Result<()> {
        let asking = scope.spawn(|| say(&caller, &origin, "group/two status"));
        let waiter = wait_for(&mut stage.client, WAITS)?;
        stage
            .client
            .execute("select pg_terminate_backend($1, 60000)", &[&waiter])?;
        holder.batch_execute("rollback")?;
        let said = asking.join().map_err(|_| anyhow!("a client ended"))??;
        ensure!(
            said.starts_with("*group/two*") || said.contains("a moment longer"),
            "{said}"
        );
        Ok(())
    })
}

#[test]
fn a_batch_that_waits_for_a_lock_is_given_up_and_leaves_nothing() -> Result<()> {
    let name = "app_batch_lock";
    let (mut stage, origin) = set(name)?;
    let mut holder = lock_integrations(name)?;
    let (caller, sidecar) = (&stage.caller, &stage.sidecar);
    let before = sidecar.metric(&CALLS)?;
    thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| say(caller, &origin, "group/one status"));
        wait_for(&mut stage.client, WAITS)?;
        let said = say(caller, &origin, "subscriptions")?;
        ensure!(said.starts_with("No channel of this workspace"), "{said}");
        // It is counted, and timed as well.
        let begun = Instant::now();
        while sidecar.metric(&["lockstep_database_failures_total", "given_up"])? < 1.0 {
            ensure!(begun.elapsed() < PATIENCE, "nothing is given up");
            thread::sleep(Duration::from_millis(10));
        }
        ensure!(sidecar.metric(&CALLS)? > before, "it is not timed");
        holder.batch_execute("rollback")?;
        let said = waiting.join().map_err(|_| anyhow!("a client ended"))??;
        ensure!(
            said.contains("group/one") || said.contains("a moment longer"),
            "{said}"
        );
        Ok(())
    })?;
    // Nothing of it is left in the way of others.
    let said = stage.say(&origin, "group/three status")?;
    ensure!(said.starts_with("*group/three*"), "{said}");
    Ok(())
}

/// While both batches that may be asked at the same time wait for a lock, a third question gets to the database on a session of its own.
#[test]
fn reads_that_wait_for_a_lock_hold_up_no_other() -> Result<()> {
    let name = "app_batch_turns";
    let (mut stage, origin) = set(name)?;
    let mut holder = lock_integrations(name)?;
    let asking = [
        asked(&stage, &origin, "group/one status")?,
        asked(&stage, &origin, "group/two status")?,
        asked(&stage, &origin, "group/three status")?,
    ];
    // Together they would never be more than two.
    wait_for(&mut stage.client, &format!("{WAITS} order by pid offset 2"))?;
    holder.batch_execute("rollback")?;
    drop(asking);
    let said = stage.say(&origin, "group/three status")?;
    ensure!(said.starts_with("*group/three*"), "{said}");
    Ok(())
}

/// A connection on which a command was sent, whose answer nobody has read.
fn asked(stage: &Stage, origin: &Origin, text: &str) -> Result<TcpStream> {
    let body = stage.caller.command_body(origin, "/gitlab", text);
    let signature = stage.caller.signature_headers(body.as_bytes());
    let signature = signature.map(|(name, value)| format!("{name}: {value}\r\n"));
    let address = stage.sidecar.base.strip_prefix("http://");
    let address = address.context("no address")?;
    let request = format!(
        "POST {COMMANDS} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {FORM}\r\ncontent-length: {}\r\n{}\r\n{body}",
        body.len(),
        signature.concat()
    );
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

#[test]
fn a_read_that_nobody_waits_for_any_more_waits_for_no_lock() -> Result<()> {
    let name = "app_batch_gone";
    let (mut stage, origin) = set(name)?;
    let mut holder = lock_integrations(name)?;
    let asked = asked(&stage, &origin, "group/one status")?;
    wait_for(&mut stage.client, WAITS)?;
    drop(asked);
    wait_for_end(&mut stage.client, WAITS)?;
    holder.batch_execute("rollback")?;
    let said = stage.say(&origin, "group/three status")?;
    ensure!(said.starts_with("*group/three*"), "{said}");
    Ok(())
}
