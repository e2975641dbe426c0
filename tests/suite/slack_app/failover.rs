//! The sidecar's database moves: a standby is promoted under load, with a pooler in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::cluster::{Cluster, PORT, SUPERUSER};
use lockstep_tests::host::{self, Layout};
use lockstep_tests::pgbouncer::PgBouncer;
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Caller, FakeSlack};
use lockstep_tests::standby::Standby;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;
use crate::slack_app::{COMMANDS, EVENTS, Sidecar, Stage, install, with_projects};

const SENDERS: usize = 4;

fn lay_out(client: &mut Client) -> Result<()> {
    host::create(client, Layout::Narrow)?;
    client
        .batch_execute("create extension lockstep_slack cascade; do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;")?;
    Ok(())
}

/// Events whose acknowledgement one sender received, in order.
type Acknowledged = Vec<String>;

/// Promotes a standby while events arrive. Returns what each sender saw acknowledged, before and after, and what the new primary
/// has.
fn fail_over(purpose: &str, is_synchronous: bool) -> Result<(Vec<Acknowledged>, Vec<String>)> {
    let mut primary = Cluster::start(&format!("{purpose}_primary"), &[])?;
    let mut client = primary.create_database("app")?;
    lay_out(&mut client)?;
    let standby = Standby::start(&primary, &format!("{purpose}_standby"), &[])?;
    standby.catch_up(&primary)?;
    if is_synchronous {
        // From now on commits wait for the standby.
        client.batch_execute("alter system set synchronous_standby_names = '*'")?;
        client.batch_execute("select pg_reload_conf()")?;
        let is_set = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        let begun = Instant::now();
        while number(&mut client, is_set)? == 0 {
            ensure!(begun.elapsed() < PATIENCE, "the standby is not synchronous");
        }
    }

    let slack = FakeSlack::start(App::default())?;
    let team = slack.create_workspace("Acme").id;
    let ada = slack.create_user(&team, "ada").id;
    slack.install(&team, &ada, &["commands"])?;
    let sockets =
        [primary.socket(), standby.cluster().socket()].map(|socket| socket.display().to_string());
    let url = format!(
        "host='{}' port={PORT},{PORT} user={SUPERUSER} dbname=app target_session_attrs=read-write",
        sockets.join(",")
    );
    // Jobs are not run, so that they can be counted.
    let sidecar = Sidecar::start(&url, &slack, &["--job-concurrency=0"])?;
    sidecar.wait_until_ready()?;
    let caller = Caller::new(&sidecar.base, slack.app()).with_patience(Duration::from_secs(3));

    let is_promoted = AtomicBool::new(false);
    let is_over = AtomicBool::new(false);
    let send = || -> Result<Acknowledged> {
        let mut acknowledged = Vec::new();
        let mut after = 0;
        while after < 50 {
            ensure!(
                !is_over.load(Ordering::Relaxed),
                "the sidecar did not go on"
            );
            let event = slack.home_opened(&team, &ada)?;
            let was_promoted = is_promoted.load(Ordering::SeqCst);
            // Slack would retry failures; here the next event is just as good.
            let Ok(reply) = caller.event(EVENTS, &event) else {
                continue;
            };
            if reply.status == 200 {
                acknowledged.push(event["event_id"].as_str().unwrap_or_default().to_owned());
                after += usize::from(was_promoted);
            }
        }
        Ok(acknowledged)
    };
    let all = thread::scope(|scope| -> Result<Vec<Acknowledged>> {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        let begun = Instant::now();
        let events = "select count(*) from lockstep_internal.slack_event";
        while number(&mut client, events)? < 200 {
            ensure!(begun.elapsed() < PATIENCE, "no load: {}", sidecar.log());
        }
        primary.kill_postmaster()?;
        standby.promote()?;
        is_promoted.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while !senders.iter().all(thread::ScopedJoinHandle::is_finished) {
            if begun.elapsed() > PATIENCE {
                is_over.store(true, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(20));
        }
        senders
            .into_iter()
            .map(|sender| sender.join().ok().context("a sender panicked")?)
            .collect()
    })?;
    let mut client = standby.cluster().connect("app")?;
    let query = "select array_agg(event_id) from lockstep_internal.slack_event";
    let kept = client
        .query_one(query, &[])?
        .get::<_, Option<Vec<String>>>(0);
    Ok((all, kept.unwrap_or_default()))
}

/// With a synchronous standby nothing acknowledged is lost.
#[test]
fn synchronous_standby_has_all_that_was_acknowledged() -> Result<()> {
    // Commits wait for the standby once there is one.
    let (all, kept) = fail_over("app_sync", true)?;
    for acknowledged in &all {
        let lost: Vec<&String> = acknowledged
            .iter()
            .filter(|id| !kept.contains(id))
            .collect();
        ensure!(
            lost.is_empty(),
            "{} of {} are lost",
            lost.len(),
            acknowledged.len()
        );
    }
    Ok(())
}

/// With an asynchronous standby the last events may be missing: of each sender's sequence only the end before the failover, and
/// nothing before an event that is there.
#[test]
fn standby_has_what_was_acknowledged_up_to_its_last_commit() -> Result<()> {
    let (all, kept) = fail_over("app_async", false)?;
    for acknowledged in &all {
        let has: Vec<bool> = acknowledged.iter().map(|id| kept.contains(id)).collect();
        let first_lost = has.iter().position(|has| !has).unwrap_or(has.len());
        let rest = &has[first_lost..];
        let lost = rest.iter().take_while(|has| !**has).count();
        ensure!(
            rest[lost..].iter().all(|has| *has),
            "lost more than once: {has:?}"
        );
        ensure!(
            has.len() - lost >= 50,
            "what came after the failover is lost: {has:?}"
        );
    }
    Ok(())
}

/// Everything through pgbouncer in transaction mode: an installation, a command, and jobs, which are polled for.
#[test]
fn everything_goes_through_a_pooler() -> Result<()> {
    let mut client = with_projects("app_pooler")?;
    let bouncer = PgBouncer::start(cluster()?, "app_pooler", 2)?;
    let slack = FakeSlack::start(App::default())?;
    let team = slack.create_workspace("Acme").id;
    let ada = slack.create_user(&team, "ada").id;
    let url = bouncer.address("app_pooler");
    let sidecar = Sidecar::start(&url, &slack, &["--pooler", "--sessions=8"])?;
    sidecar.wait_until_ready()?;
    let caller = Caller::new(&sidecar.base, slack.app());
    let query = "select lockstep.issue_slack_install_ticket(project_id => 1)";
    let ticket: String = client.query_one(query, &[])?.get(0);
    let page = install(&sidecar, &format!("?ticket={ticket}"))?;
    ensure!(page.status == 200, "{}\n{}", page.text(), sidecar.log());

    let origin = Origin {
        team_id: Some(team.clone()),
        user_id: ada.clone(),
        ..Origin::default()
    };
    thread::scope(|scope| -> Result<()> {
        let give = || -> Result<()> {
            for _ in 0..50 {
                let reply = caller.command(COMMANDS, &origin, "/gitlab", "group/one status")?;
                ensure!(
                    reply.text().contains("Active"),
                    "{}\n{}",
                    reply.text(),
                    sidecar.log()
                );
            }
            Ok(())
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(give)).collect();
        for one in all {
            one.join().ok().context("a sender panicked")??;
        }
        Ok(())
    })?;
    for number in 1..=5 {
        let event = slack.home_opened(&team, &ada)?;
        assert_eq!(caller.event(EVENTS, &event)?.status, 200);
        ensure!(
            slack.wait_for_calls("views.publish", number, PATIENCE),
            "{}",
            sidecar.log()
        );
    }
    Ok(())
}

/// The pool keeps sessions that have been idle through a restart: the next request notices, and still succeeds.
#[test]
fn sessions_that_were_lost_while_idle_are_no_failure() -> Result<()> {
    let mut stage = Stage::set("app_idle")?;
    let team = stage.slack.create_workspace("Acme").id;
    let ada = stage.slack.create_user(&team, "ada").id;
    stage.connect(1)?;
    let origin = Origin {
        team_id: Some(team),
        user_id: ada,
        ..Origin::default()
    };
    for _ in 0..20 {
        stage.client.batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")?;
        let text = stage.say(&origin, "group/one status")?;
        ensure!(text.contains("Active"), "{text}\n{}", stage.sidecar.log());
    }
    Ok(())
}
