//! Failures around the sidecar: the database goes away and returns, and Slack fails in all its ways.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Caller, FakeSlack, Fault};
use nix::sys::signal::Signal;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::slack_app::{COMMANDS, EVENTS, Sidecar, Stage, command};

/// Slack's timeout.
pub(super) const SLACKS_PATIENCE: Duration = Duration::from_secs(3);

/// Its own cluster, to stop and start, with one workspace installed.
struct Place {
    cluster: Cluster,
    slack: FakeSlack,
    team: String,
    ada: String,
}

impl Place {
    fn new(name: &str) -> Result<Self> {
        let cluster = Cluster::start(name, &[])?;
        let mut client = cluster.create_database("app")?;
        host::create(&mut client, Layout::Narrow)?;
        client.batch_execute(
            "create extension lockstep_slack cascade;
             do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;
             select lockstep.install_slack_workspace('T1', 'Acme', 'U1', 'B1', 'token', 'nonce', array['commands'])",
        )?;
        let slack = FakeSlack::start(App::default())?;
        let team = slack.create_workspace("Acme").id;
        let ada = slack.create_user(&team, "ada").id;
        Ok(Self {
            cluster,
            slack,
            team,
            ada,
        })
    }

    fn url(&self) -> String {
        self.cluster.address("app")
    }

    fn client(&self) -> Result<Client> {
        self.cluster.connect("app")
    }

    fn origin(&self) -> Origin {
        Origin {
            team_id: Some(self.team.clone()),
            user_id: self.ada.clone(),
            ..Origin::default()
        }
    }
}

#[test]
fn database_comes_goes_and_comes_back() -> Result<()> {
    let mut place = Place::new("app_database")?;
    place.cluster.stop()?;
    let sidecar = Sidecar::start(&place.url(), &place.slack, &[])?;
    let caller = Caller::new(&sidecar.base, place.slack.app()).with_patience(SLACKS_PATIENCE);
    let origin = place.origin();
    let mut event = place.slack.event(
        &place.team,
        serde_json::json!({ "type": "app_home_opened", "user": place.ada, "tab": "home" }),
    );
    if event.is_err() {
        // The fake sends events of workspaces that have the app.
        place
            .slack
            .install(&place.team, &place.ada, &["commands"])?;
        event = place.slack.home_opened(&place.team, &place.ada);
    }
    let event = event?;

    // Three times: down at the start, then lost while serving, once cleanly and once not.
    for round in 0..3 {
        ensure!(sidecar.get("/healthz")?.status == 200);
        // The sessions of a killed postmaster end a moment later.
        let begun = Instant::now();
        loop {
            let reply = caller.command(COMMANDS, &origin, "/gitlab", "status")?;
            assert_eq!(reply.status, 200);
            if reply
                .text()
                .contains("The database does not respond at the moment")
            {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "{}", reply.text());
        }
        ensure!(
            caller
                .command(COMMANDS, &origin, "/gitlab", "status")?
                .text()
                .contains("(request `")
        );
        ensure!(sidecar.get("/readyz")?.status == 503);
        // Not acknowledged, so Slack retries.
        assert_eq!(caller.event(EVENTS, &event)?.status, 503);
        ensure!(
            caller
                .command(COMMANDS, &origin, "/gitlab", "help")?
                .text()
                .contains("*Commands*")
        );

        place.cluster.resume()?;
        sidecar.wait_until_ready()?;
        let reply = caller.command(COMMANDS, &origin, "/gitlab", "status")?;
        ensure!(
            reply.text().contains("No project is connected"),
            "{}\n{}",
            reply.text(),
            sidecar.log()
        );
        match round {
            0 => place.cluster.stop()?,
            1 => place.cluster.kill_postmaster()?,
            _ => {}
        }
    }
    // Acknowledged now, and processed.
    assert_eq!(caller.event(EVENTS, &event)?.status, 200);
    let mut client = place.client()?;
    let begun = Instant::now();
    while number(&mut client, "select count(*) from lockstep_internal.job")? > 0 {
        ensure!(begun.elapsed() < PATIENCE, "{}", sidecar.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_event"
        )?,
        1
    );
    Ok(())
}

/// Sessions begin read-only, as during maintenance: it is not ready, says why, and is ready again once they do not.
#[test]
fn database_that_is_read_only_for_a_while() -> Result<()> {
    let name = "app_read_only";
    let mut stage = Stage::set(name)?;
    let end_sessions = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    stage.client.batch_execute(&format!(
        "alter database {name} set default_transaction_read_only = on; {end_sessions}"
    ))?;
    let begun = Instant::now();
    loop {
        let ready = stage.sidecar.get("/readyz")?;
        if ready.status == 503 && ready.text().contains("\"database\":\"read-only\"") {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{}", ready.text());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut check = command("check", &stage.url, &stage.slack);
    let output = check.arg("--public-url=http://127.0.0.1:1").output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        said.contains("is read-only: default_transaction_read_only is on"),
        "{said}"
    );
    stage.client.batch_execute(&format!(
        "begin read write; alter database {name} reset default_transaction_read_only; commit"
    ))?;
    stage.sidecar.wait_until_ready()
}

/// An event is acknowledged only once it is in the database: what was acknowledged before a crash is processed after it.
#[test]
fn what_was_acknowledged_survives_a_crash() -> Result<()> {
    let mut place = Place::new("app_crash")?;
    place
        .slack
        .install(&place.team, &place.ada, &["commands"])?;
    // Nothing runs its jobs yet.
    let sidecar = Sidecar::start(&place.url(), &place.slack, &["--job-concurrency=0"])?;
    sidecar.wait_until_ready()?;
    let caller = Caller::new(&sidecar.base, place.slack.app());
    let mut acknowledged = 0;
    for _ in 0..20 {
        let event = place.slack.home_opened(&place.team, &place.ada)?;
        acknowledged += i64::from(caller.event(EVENTS, &event)?.status == 200);
    }
    sidecar.signal(Signal::SIGKILL)?;
    place.cluster.kill_postmaster()?;
    place.cluster.resume()?;
    assert_eq!(acknowledged, 20);
    assert_eq!(
        number(
            &mut place.client()?,
            "select count(*) from lockstep_internal.job"
        )?,
        acknowledged
    );
    Ok(())
}

/// The database responds later than Slack's timeout.
#[test]
fn slow_answer_comes_late() -> Result<()> {
    let mut stage = Stage::set("app_late")?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    let channel = stage.slack.create_channel(&team.id, "general");
    stage.connect(1)?;
    let origin = Origin {
        team_id: Some(team.id.clone()),
        user_id: ada.id.clone(),
        channel_id: channel.id.clone(),
        response_url: stage.slack.response_url(&team.id, &channel.id, &ada.id),
        ..Origin::default()
    };
    let mut holder = crate::database::cluster()?.connect("app_late")?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table slack_integrations in access exclusive mode")?;
    let caller = stage.caller.clone().with_patience(SLACKS_PATIENCE);
    let reply = caller.command(COMMANDS, &origin, "/gitlab", "group/one status")?;
    ensure!(
        reply.status == 200 && reply.text().contains("a moment longer"),
        "{}",
        reply.text()
    );
    // A graceful stop waits for it.
    stage.sidecar.signal(Signal::SIGTERM)?;
    stage.sidecar.wait_for_log("stopping")?;
    transaction.rollback()?;
    ensure!(stage.slack.wait_for_calls("response_url", 1, PATIENCE));
    let messages = stage.slack.messages(&channel.id);
    ensure!(
        messages.len() == 1 && messages[0].text.contains("Active"),
        "{messages:?}"
    );
    let (status, log) = stage.sidecar.end()?;
    ensure!(status == Some(0) && log.contains("stopped"), "{log}");
    Ok(())
}

/// A job that failed because of Slack is done when Slack recovers; its request was answered long ago.
#[test]
fn faults_of_slack_delay_jobs() -> Result<()> {
    let mut stage = Stage::set("app_faults")?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    let caller = stage.caller.clone().with_patience(SLACKS_PATIENCE);
    for (number, fault) in [
        Fault::Status(500),
        Fault::RateLimited(1),
        Fault::ClosedBefore,
        Fault::ClosedAfter,
        Fault::Garbage,
        Fault::Slow(Duration::from_secs(11)),
    ]
    .into_iter()
    .enumerate()
    {
        let published = stage
            .slack
            .home(&ada.id)
            .map_or(0, |home| home.publications);
        stage.slack.fail("views.publish", fault, Some(1));
        let event = stage.slack.home_opened(&team.id, &ada.id)?;
        assert_eq!(caller.event(EVENTS, &event)?.status, 200);
        let was_tried = "select not exists (select from lockstep_internal.job where failures = 0)";
        stage.wait_for(was_tried)?;
        // To skip the queue's pause.
        stage.client.batch_execute("select lockstep_api.enqueue_slack_job('Slack::AppHomeWorker', args) from lockstep_internal.job; delete from lockstep_internal.job where failures > 0")?;
        stage.wait_for("select not exists (select from lockstep_internal.job)")?;
        let home = stage
            .slack
            .home(&ada.id)
            .map_or(0, |home| home.publications);
        ensure!(
            home > published,
            "fault {number}: {:?}",
            stage.slack.calls_of("views.publish")
        );
    }
    Ok(())
}
