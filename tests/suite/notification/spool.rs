//! Webhooks that come while the database does not take them: kept on disk, and told in order and once when it does.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::gitlab::{Webhook, pipeline, push};
use lockstep_tests::http::Reply;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::notification::app::{Scene, TOKEN, assert_taken};
use crate::notification::restart::event_of;
use crate::slack_app::{Sidecar, command};

pub(super) const OF_GROUP: &str = "secret-of-the-group-of-project-1";
const OF_ANOTHER: &str = "secret-of-some-other-projects";

/// A directory of a test, gone with it.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(super) fn argument(&self) -> String {
        format!("--spool={}", self.0.display())
    }

    fn file(&self) -> PathBuf {
        self.0.join("webhooks.redb")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn scene(
    name: &str,
    directory: &Directory,
    arguments: &[&str],
) -> Result<(Scene, String)> {
    let spool = directory.argument();
    let tokens = [
        format!("--gitlab-token-of=group/one={OF_GROUP}"),
        format!("--gitlab-token-of=other={OF_ANOTHER}"),
    ];
    let all: Vec<&str> = [&*spool, &*tokens[0], &*tokens[1]]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let mut scene = Scene::with(name, &all)?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    Ok((scene, general))
}

pub(super) fn go_away(database: &str) -> Result<()> {
    Ok(cluster()?.connect("postgres")?.batch_execute(&format!(
        "alter database {database} allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}' and usename = 'sidecar'"
    ))?)
}

pub(super) fn come_back(database: &str) -> Result<()> {
    Ok(cluster()?
        .connect("postgres")?
        .batch_execute(&format!("alter database {database} allow_connections true"))?)
}

pub(super) fn assert_spooled(reply: &Reply) -> Result<()> {
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let answer = reply.json()?;
    ensure!(answer == json!({ "spooled": true }), "{answer}");
    Ok(())
}

fn wait_for_metric(sidecar: &Sidecar, words: &[&str], value: f64) -> Result<()> {
    wait_for(sidecar, words, |it| (it - value).abs() < 0.5)
}

fn wait_for(sidecar: &Sidecar, words: &[&str], is_it: impl Fn(f64) -> bool) -> Result<()> {
    let begun = Instant::now();
    while !is_it(sidecar.metric(words)?) {
        ensure!(
            begun.elapsed() < PATIENCE,
            "{words:?} is {}\n{}",
            sidecar.metric(words)?,
            sidecar.log()
        );
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(super) fn wait_until_replayed(sidecar: &Sidecar) -> Result<()> {
    wait_for_metric(sidecar, &["lockstep_gitlab_spool_entries "], 0.0)
}

/// The sidecar of a scene is killed, and another one takes its place.
fn restart(
    scene: &mut Scene,
    directory: &Directory,
    between: impl FnOnce() -> Result<()>,
) -> Result<()> {
    scene.stage.sidecar.signal(Signal::SIGKILL)?;
    scene.stage.sidecar.wait_until_dead()?;
    between()?;
    let arguments = [
        format!("--gitlab-token={TOKEN}"),
        format!("--gitlab-token-of=group/one={OF_GROUP}"),
        format!("--gitlab-token-of=other={OF_ANOTHER}"),
        directory.argument(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let sidecar = Sidecar::start(&scene.stage.url, &scene.stage.slack, &arguments)?;
    scene.webhook = Webhook::new(&sidecar.base, PATIENCE).with_token(TOKEN);
    scene.stage.sidecar = sidecar;
    Ok(())
}

/// The ids of the requests that brought the published events, in the order in which they were stored.
pub(super) fn stored(scene: &mut Scene) -> Result<Vec<String>> {
    let query = "select split_part(e.requests[1], ' ', 2) from lockstep_internal.event e
                  join lockstep_internal.slack_delivery d on d.event = e.id order by d.id";
    let rows = scene.stage.client.query(query, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A short outage is waited for: nothing goes to disk.
#[test]
fn a_short_outage_is_waited_for() -> Result<()> {
    const DATABASE: &str = "spool_short";
    let directory = Directory::new(DATABASE)?;
    let (mut scene, general) = scene(DATABASE, &directory, &[])?;
    go_away(DATABASE)?;
    let by_path = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(OF_GROUP);
    let Scene { stage, webhook, .. } = &mut scene;
    let webhook = &*webhook;
    let (one, other) = thread::scope(|scope| -> Result<_> {
        let one = scope.spawn(|| webhook.send(&push(1, "event-000001")));
        let other = scope.spawn(|| by_path.send(&push(1, "event-000002")));
        // Each of them is tried several times.
        let waited = wait_for(
            &stage.sidecar,
            &["lockstep_database_failures_total", "unreachable"],
            |it| it >= 8.0,
        );
        come_back(DATABASE)?;
        waited?;
        let joined = [one, other].map(|it| it.join().map_err(|_| anyhow!("it broke off")));
        let [one, other] = joined;
        Ok((one??, other??))
    })?;
    assert_taken(&one, 1)?;
    assert_taken(&other, 1)?;
    assert_eq!(scene.settled(&general)?.len(), 2);
    assert_eq!(scene.stage.sidecar.metric(&["spooled"])?, 0.0);
    Ok(())
}

/// An outage longer than GitLab's timeout, with a restart of the sidecar: everything acknowledged is published once, in order.
#[test]
fn what_was_acknowledged_outlives_an_outage_and_a_crash() -> Result<()> {
    const DATABASE: &str = "spool_crash";
    const EVENTS: usize = 12;
    let directory = Directory::new(DATABASE)?;
    let (mut scene, general) = scene(DATABASE, &directory, &[])?;
    go_away(DATABASE)?;
    for number in 0..EVENTS {
        let webhook = match number % 3 {
            0 => Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(OF_GROUP),
            _ => Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(TOKEN),
        };
        let reply = webhook.send_as(
            &format!("{number:02}"),
            &push(1, &format!("event-{number:06}")),
        )?;
        assert_spooled(&reply).with_context(|| number.to_string())?;
    }
    // Which project has this path is not known yet.
    let foreign = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(OF_ANOTHER);
    assert_spooled(&foreign.send_as("foreign", &push(1, "event-foreign"))?)?;
    // Invalid ones are refused as usual.
    let stranger = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token("a guess");
    assert_eq!(stranger.send(&push(1, "event-stranger"))?.status, 401);
    let ready = scene.stage.sidecar.get("/readyz")?;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()?["spool"]["entries"], json!(EVENTS + 1));
    let ready = scene.stage.sidecar.get("/readyz/hooks")?;
    assert_eq!((ready.status, &ready.json()?["ready"]), (200, &json!(true)));
    assert_eq!(
        scene
            .stage
            .sidecar
            .metric(&["lockstep_gitlab_spool_entries "])?,
        13.0
    );
    ensure!(
        scene
            .stage
            .sidecar
            .metric(&["lockstep_gitlab_spool_bytes "])?
            > 1000.0
    );

    // Killed while the database is away, and once more after that.
    let copy = directory.0.join("copy");
    restart(&mut scene, &directory, || {
        fs::copy(directory.file(), &copy)?;
        Ok(())
    })?;
    wait_for_metric(
        &scene.stage.sidecar,
        &["lockstep_gitlab_spool_entries "],
        13.0,
    )?;
    restart(&mut scene, &directory, || Ok(()))?;
    come_back(DATABASE)?;
    wait_until_replayed(&scene.stage.sidecar)?;
    let all: Vec<String> = (0..EVENTS).map(|number| format!("{number:02}")).collect();
    assert_eq!(stored(&mut scene)?, all);
    let replays = |scene: &Scene, outcome: &str| {
        let words = ["lockstep_gitlab_spool_replays_total", outcome];
        scene.stage.sidecar.metric(&words)
    };
    assert_eq!(replays(&scene, "published")?, 12.0);
    assert_eq!(replays(&scene, "out_of_reach")?, 1.0);

    // Killed after the database had them, and before they were removed here: the file is as it was before.
    restart(&mut scene, &directory, || {
        Ok(fs::rename(&copy, directory.file())?)
    })?;
    wait_for_metric(
        &scene.stage.sidecar,
        &["lockstep_gitlab_spool_replays_total", "duplicate"],
        12.0,
    )?;
    wait_until_replayed(&scene.stage.sidecar)?;
    assert_eq!(stored(&mut scene)?, all);
    let mut told: Vec<String> = scene
        .settled(&general)?
        .iter()
        .map(event_of)
        .collect::<Result<_>>()?;
    told.dedup();
    let all: Vec<String> = (0..EVENTS)
        .map(|number| format!("event-{number:06}"))
        .collect();
    assert_eq!(told, all);
    // From now on they are published at once.
    assert_taken(&scene.webhook.send(&push(1, "event-000099"))?, 1)
}

/// What the database will never take is set aside, and holds up nothing, not even at its place.
#[test]
fn what_is_never_taken_is_set_aside() -> Result<()> {
    const DATABASE: &str = "spool_poison";
    let directory = Directory::new(DATABASE)?;
    let (mut scene, _) = scene(DATABASE, &directory, &[])?;
    scene.stage.client.batch_execute(
        "create function poison() returns trigger language plpgsql as $$begin raise exception 'it is poison'; end$$;
         create trigger poison before insert on lockstep_internal.event for each row when (new.requests[1] like '% poison') execute function poison()",
    )?;
    assert_spooled(&scene.webhook.send_as("poison", &push(1, "event-poison"))?)?;
    wait_for_metric(
        &scene.stage.sidecar,
        &["lockstep_gitlab_spool_set_aside "],
        1.0,
    )?;
    ensure!(
        scene.stage.sidecar.log().contains(" poison\""),
        "{}",
        scene.stage.sidecar.log()
    );
    wait_until_replayed(&scene.stage.sidecar)?;
    assert_taken(&scene.webhook.send_as("next", &push(1, "event-next"))?, 1)?;
    // It has been seen to.
    scene
        .stage
        .client
        .batch_execute("drop trigger poison on lockstep_internal.event")?;
    restart(&mut scene, &directory, || Ok(()))?;
    scene.stage.wait_for(
        "select exists (select from lockstep_internal.event where requests[1] like '% poison')",
    )?;
    wait_for_metric(
        &scene.stage.sidecar,
        &["lockstep_gitlab_spool_set_aside "],
        0.0,
    )?;
    assert_eq!(stored(&mut scene)?, ["next", "poison"]);
    Ok(())
}

/// Somebody's open transaction holds up one project: what happens there waits on disk in its order, what happens elsewhere does not.
#[test]
fn a_place_that_has_to_wait_keeps_its_order() -> Result<()> {
    const DATABASE: &str = "spool_held";
    let directory = Directory::new(DATABASE)?;
    let (mut scene, _) = scene(DATABASE, &directory, &[])?;
    scene.connect("project_id", 2)?;
    scene.channel("other");
    scene.set("project_id", 2, &json!({ "channels": ["#other"] }))?;
    let mut other = cluster()?.connect(DATABASE)?;
    let mut open = other.transaction()?;
    open.execute(
        "select from lockstep.publish_event($1::text::jsonb)",
        &[&pipeline(1, 41, "failed").to_string()],
    )?;
    assert_spooled(&scene.webhook.send_as("first", &pipeline(1, 42, "failed"))?)?;
    assert_spooled(&scene.webhook.send_as("second", &push(1, "event-second"))?)?;
    let elsewhere = scene
        .webhook
        .send_as("elsewhere", &push(2, "event-000003"))?;
    assert_taken(&elsewhere, 1)?;
    let third = scene.webhook.send_as("third", &push(1, "event-third"))?;
    assert_spooled(&third)?;
    open.rollback()?;
    // The way is free, and others are to go first.
    let fourth = scene.webhook.send_as("fourth", &push(1, "event-fourth"))?;
    ensure!(fourth.status == 200, "{}", fourth.text());
    wait_until_replayed(&scene.stage.sidecar)?;
    let stored: Vec<String> = stored(&mut scene)?;
    assert_eq!(stored, ["elsewhere", "first", "second", "third", "fourth"]);
    Ok(())
}

/// A spool that is full refuses, and loses nothing that it has.
#[test]
fn a_full_spool_refuses() -> Result<()> {
    const DATABASE: &str = "spool_full";
    let directory = Directory::new(DATABASE)?;
    let (mut scene, _) = scene(DATABASE, &directory, &["--spool-size=1"])?;
    let large = |title: &str| -> Value {
        let mut event = push(1, title);
        event["commits"][0]["message"] = json!("x".repeat(300 << 10));
        event["commits"][0]["title"] = json!(title);
        event
    };
    go_away(DATABASE)?;
    let mut kept = 0;
    loop {
        let reply = scene
            .webhook
            .send_as(&format!("{kept}"), &large("event-000001"))?;
        if reply.status == 503 {
            break;
        }
        assert_spooled(&reply)?;
        kept += 1;
        ensure!(kept < 2000, "it is never full");
    }
    ensure!(kept > 1, "nothing was kept");
    assert_eq!(
        scene
            .stage
            .sidecar
            .metric(&["lockstep_gitlab_hooks_total", "spool_full"])?,
        1.0
    );
    come_back(DATABASE)?;
    wait_until_replayed(&scene.stage.sidecar)?;
    let all: Vec<String> = (0..kept).map(|number| format!("{number}")).collect();
    assert_eq!(stored(&mut scene)?, all);
    Ok(())
}

/// An unusable directory is reported at the start, and by `check`.
#[test]
fn a_spool_that_cannot_be_opened_is_told() -> Result<()> {
    const DATABASE: &str = "spool_start";
    let directory = Directory::new(DATABASE)?;
    let (scene, _) = scene(DATABASE, &directory, &[])?;
    let missing = format!("{}/missing", directory.argument());
    let stage = &scene.stage;
    for (argument, words) in [
        (&directory.argument(), "another process uses it"),
        (&missing, "No such file"),
    ] {
        let mut serve = command("serve", &stage.url, &stage.slack);
        serve.args([
            "--listen=127.0.0.1:0",
            "--public-url=http://127.0.0.1:1",
            argument,
        ]);
        let ended = serve.output()?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.code() == Some(2), "{:?}: {said}", ended.status);
        ensure!(
            said.contains(words) && said.contains("LOCKSTEP_SPOOL"),
            "{said}"
        );
    }
    let corrupt = Directory::new("lockstep-spool-corrupt")?;
    fs::write(corrupt.file(), "no spool")?;
    // As a process that is killed leaves it.
    let unclosed = Directory::new("lockstep-spool-unclosed")?;
    fs::copy(directory.file(), unclosed.file())?;
    for (argument, words) in [
        (&missing, "wrong: there is no directory"),
        (&corrupt.argument(), "cannot be read"),
        (&unclosed.argument(), "which was not closed"),
        (&directory.argument(), "which a process uses"),
    ] {
        let mut check = command("check", &stage.url, &stage.slack);
        check.args(["--public-url=http://127.0.0.1:1", argument]);
        let ended = check.output()?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(said.contains(words), "{said}");
        let is_fine = words.starts_with("which");
        ensure!(is_fine || ended.status.code() == Some(1), "{said}");
    }
    Ok(())
}
