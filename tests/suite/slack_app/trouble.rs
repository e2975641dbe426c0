//! What befalls installations, tokens, clicks and the database in between: nothing is half done, and nobody is cut off.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::caller::{Origin, block_actions};
use lockstep_tests::slack::{App, Caller, Decision, FakeSlack, Fault};
use serde_json::json;

use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::slack_app::{
    COMMANDS, EVENTS, INTERACTIONS, Sidecar, Stage, command, cookie_of, http, install, sidecar_url,
    way_to_slack, with_projects,
};

fn go(stage: &Stage, query: &str) -> Result<(String, String)> {
    let begun = http().get(&format!("{}/slack/install{query}", stage.sidecar.base), &[])?;
    let cookie = cookie_of(&begun)?;
    let consent = http().get(&way_to_slack(&begun)?, &[])?;
    Ok((
        consent.header("location").context("nowhere")?.to_owned(),
        cookie,
    ))
}

#[test]
fn one_ticket_two_browsers() -> Result<()> {
    let mut stage = Stage::set("app_t_ticket")?;
    let a = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&a.id, "ada");
    let b = stage.slack.create_workspace("Beta");
    let bob = stage.slack.create_user(&b.id, "bob");
    let ticket = stage.ticket(1)?;
    let query = format!("?ticket={ticket}");
    stage.slack.decide(Decision::Approve {
        tenant: a.id.clone(),
        user: ada.id,
    });
    let one = go(&stage, &query)?;
    stage.slack.decide(Decision::Approve {
        tenant: b.id.clone(),
        user: bob.id,
    });
    let two = go(&stage, &query)?;
    let first = http().get(&one.0, &[("cookie", &one.1)])?;
    assert_eq!(first.status, 200);
    let second = http().get(&two.0, &[("cookie", &two.1)])?;
    let stored: i64 = number(
        &mut stage.client,
        "select count(*) from lockstep.slack_installation",
    )?;
    ensure!(
        second.status != 200 || stored == 2,
        "status {} stored {stored}: {}\n{}",
        second.status,
        second.text(),
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn uninstalling_a_workspace_spares_the_organization() -> Result<()> {
    let mut stage = Stage::set("app_t_org")?;
    let e = stage.slack.create_enterprise("Globex");
    let t = stage.slack.create_workspace_in(&e.id, "Globex East");
    let ada = stage.slack.create_user(&t.id, "ada");
    stage.slack.decide(Decision::Approve {
        tenant: e.id.clone(),
        user: ada.id.clone(),
    });
    stage.connect(1)?;
    stage.slack.decide(Decision::Approve {
        tenant: t.id.clone(),
        user: ada.id.clone(),
    });
    stage.connect(2)?;
    stage.slack.uninstall(&t.id);
    let events = stage.slack.take_events();
    for event in &events {
        ensure!(stage.caller.event(EVENTS, event)?.status == 200);
    }
    let query = format!(
        "select count(*) from slack_integrations where team_id = '{}'",
        e.id
    );
    let left = number(&mut stage.client, &query)?;
    ensure!(
        left == 1,
        "rows of the organization: {left}; events {events:?}\n{}",
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn browser_goes_away() -> Result<()> {
    let mut stage = Stage::set("app_t_browser")?;
    let a = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&a.id, "ada");
    let ticket = stage.ticket(1)?;
    let (back, cookie) = go(&stage, &format!("?ticket={ticket}"))?;
    stage.slack.fail(
        "oauth.v2.access",
        Fault::Slow(Duration::from_secs(1)),
        Some(1),
    );
    let rest = back.trim_start_matches("http://");
    let (host, path) = rest.split_once('/').context("no path")?;
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n"
    )?;
    ensure!(
        stage
            .slack
            .wait_for_arrivals("oauth.v2.access", 1, PATIENCE)
    );
    drop(stream);
    ensure!(stage.slack.wait_for_calls("oauth.v2.access", 1, PATIENCE));
    thread::sleep(Duration::from_secs(2));
    let stored = number(
        &mut stage.client,
        "select count(*) from lockstep.slack_installation",
    )?;
    let at_slack = stage.slack.installations().len();
    let again = http().get(&back, &[("cookie", &cookie)])?;
    ensure!(
        stored == 1,
        "stored {stored}, at Slack {at_slack}; the browser reloads: {} {}\n{}",
        again.status,
        again.text(),
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn old_click_is_not_done_after_a_new_one() -> Result<()> {
    let mut stage = Stage::set("app_t_click")?;
    let team = stage.slack.create_workspace("Acme").id;
    let ada = stage.slack.create_user(&team, "ada").id;
    stage.connect(1)?;
    let row: i64 = stage
        .client
        .query_one("select min(id) from slack_integrations", &[])?
        .get(0);
    let origin = Origin {
        team_id: Some(team),
        user_id: ada.clone(),
        ..Origin::default()
    };
    let app = stage.slack.app();
    let caller = stage.caller.clone();
    let click = |action: &str, at: &str| {
        let action = json!({ "type": "button", "action_id": action, "block_id": "b", "value": row.to_string(), "action_ts": at });
        let payload = block_actions(&app, &origin, None, &json!([action]));
        caller.interaction(INTERACTIONS, &payload)
    };
    stage
        .slack
        .fail("views.publish", Fault::Status(500), Some(1));
    ensure!(click("switch_off", "1.1")?.status == 200);
    stage.wait_for("select exists (select from lockstep.job where failures = 1)")?;
    let before = stage.slack.calls_of("views.publish").len();
    ensure!(click("switch_on", "2.1")?.status == 200);
    ensure!(
        stage
            .slack
            .wait_for_calls("views.publish", before + 1, PATIENCE)
    );
    stage.wait_for("select active from integrations where project_id = 1")?;
    // The pause of the queue is over.
    let begun = Instant::now();
    stage.wait_for("select not exists (select from lockstep.job)")?;
    let active: bool = stage
        .client
        .query_one("select active from integrations where project_id = 1", &[])?
        .get(0);
    ensure!(
        active,
        "the last click was on, it is off after {:?}\n{}",
        begun.elapsed(),
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn token_that_was_taken_away_stops_nobody() -> Result<()> {
    let mut stage = Stage::set("app_null")?;
    let team = stage.slack.create_workspace("Acme").id;
    let ada = stage.slack.create_user(&team, "ada").id;
    stage.connect(1)?;
    stage.client.batch_execute(
        "update slack_integrations set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null",
    )?;
    for arguments in [&["check", "--public-url=https://a.example"][..], &["rekey"]] {
        let output = command(arguments[0], &stage.url, &stage.slack)
            .args(&arguments[1..])
            .output()?;
        ensure!(output.status.success(), "{output:?}");
    }
    // There is nothing to publish with, and that is no failure.
    let event = stage.slack.home_opened(&team, &ada)?;
    ensure!(stage.caller.event(EVENTS, &event)?.status == 200);
    stage.wait_for("select not exists (select from lockstep.job)")?;
    assert_eq!(stage.slack.calls_of("views.publish").len(), 0);
    Ok(())
}

/// Bytes between TCP and the socket of PostgreSQL; those connections that there are when it freezes are silent for ever.
struct Hole {
    port: u16,
    era: Arc<AtomicUsize>,
}

fn hole(socket: String) -> Result<Hole> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let era = Arc::new(AtomicUsize::new(0));
    let its = Arc::clone(&era);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok(server) = UnixStream::connect(&socket) else {
                continue;
            };
            let born = its.load(Ordering::SeqCst);
            for is_up in [true, false] {
                let (Ok(mut tcp), Ok(mut unix)) = (stream.try_clone(), server.try_clone()) else {
                    return;
                };
                let era = Arc::clone(&its);
                thread::spawn(move || {
                    let mut bytes = [0; 65536];
                    loop {
                        let read = if is_up {
                            tcp.read(&mut bytes)
                        } else {
                            unix.read(&mut bytes)
                        };
                        let Ok(read) = read else { break };
                        while era.load(Ordering::SeqCst) > born {
                            thread::sleep(Duration::from_millis(200));
                        }
                        if read == 0 {
                            break;
                        }
                        let wrote = if is_up {
                            unix.write_all(&bytes[..read])
                        } else {
                            tcp.write_all(&bytes[..read])
                        };
                        if wrote.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    Ok(Hole { port, era })
}

#[test]
fn host_that_went_silent() -> Result<()> {
    let mut client = with_projects("app_t_silent")?;
    let slack = FakeSlack::start(App::default())?;
    let team = slack.create_workspace("Acme").id;
    let ada = slack.create_user(&team, "ada").id;
    let _ = sidecar_url("app_t_silent")?;
    let cluster = crate::database::cluster()?;
    let hole = hole(format!(
        "{}/.s.PGSQL.{}",
        cluster.socket().display(),
        lockstep_tests::cluster::PORT
    ))?;
    let url = format!(
        "host=127.0.0.1 port={} user=sidecar dbname=app_t_silent sslmode=disable",
        hole.port
    );
    let sidecar = Sidecar::start(&url, &slack, &[])?;
    sidecar.wait_until_ready()?;
    let query = "select lockstep.issue_slack_install_ticket(project_id => 1)";
    let ticket: String = client.query_one(query, &[])?.get(0);
    ensure!(install(&sidecar, &format!("?ticket={ticket}"))?.status == 200);
    let caller = Caller::new(&sidecar.base, slack.app());
    let origin = Origin {
        team_id: Some(team.clone()),
        user_id: ada.clone(),
        ..Origin::default()
    };
    // Some sessions.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let _ = caller.command(COMMANDS, &origin, "/gitlab", "status");
                }
            });
        }
    });
    hole.era.fetch_add(1, Ordering::SeqCst);
    let begun = Instant::now();
    let mut outcomes = Vec::new();
    while begun.elapsed() < Duration::from_secs(90) {
        let event = slack.home_opened(&team, &ada)?;
        let status = caller
            .event(EVENTS, &event)
            .map(|reply| reply.status)
            .unwrap_or(0);
        outcomes.push((begun.elapsed().as_secs(), status));
        if outcomes
            .iter()
            .rev()
            .take(3)
            .filter(|(_, status)| *status == 200)
            .count()
            == 3
        {
            break;
        }
    }
    let ready = sidecar.get("/readyz")?.text();
    ensure!(
        outcomes.len() < 12,
        "{outcomes:?} {ready}\n{}",
        sidecar.log()
    );
    eprintln!("silent: {outcomes:?} {ready}");
    Ok(())
}

#[test]
fn first_host_hangs() -> Result<()> {
    let _client = with_projects("app_t_hosts")?;
    let slack = FakeSlack::start(App::default())?;
    let _ = sidecar_url("app_t_hosts")?;
    let cluster = crate::database::cluster()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        let mut all = Vec::new();
        for stream in listener.incoming() {
            all.push(stream);
        }
    });
    let url = format!(
        "host='127.0.0.1,{}' port={port},{} user=sidecar dbname=app_t_hosts sslmode=disable target_session_attrs=read-write",
        cluster.socket().display(),
        lockstep_tests::cluster::PORT
    );
    let sidecar = Sidecar::start(&url, &slack, &[])?;
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < Duration::from_secs(60) {
        let ready = sidecar.get("/readyz")?;
        if ready.status == 200 {
            eprintln!("ready after {:?}", begun.elapsed());
            return Ok(());
        }
        last = ready.text();
        thread::sleep(Duration::from_millis(200));
    }
    ensure!(false, "not ready in 60 s: {last}\n{}", sidecar.log());
    Ok(())
}

#[test]
fn lock_on_one_table() -> Result<()> {
    let mut stage = Stage::set("app_t_lock")?;
    let team = stage.slack.create_workspace("Acme").id;
    let ada = stage.slack.create_user(&team, "ada").id;
    stage.connect(1)?;
    let mut holder = crate::database::cluster()?.connect("app_t_lock")?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table slack_integrations in access exclusive mode")?;
    let origin = Origin {
        team_id: Some(team.clone()),
        user_id: ada,
        ..Origin::default()
    };
    let caller = stage.caller.clone();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let _ = caller.command(COMMANDS, &origin, "/gitlab", "status");
            });
        }
    });
    let mut ready = Vec::new();
    for _ in 0..5 {
        ready.push(stage.sidecar.get("/readyz")?.text());
    }
    transaction.rollback()?;
    ensure!(
        ready.iter().all(|text| text.contains("\"ready\":true")),
        "{ready:?}\n{}",
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn rate_limited_refresh_pauses() -> Result<()> {
    let app = App {
        rotates_tokens: true,
        ..App::default()
    };
    let mut stage = Stage::set_with("app_t_rate", app, &[])?;
    for number in 0..20 {
        let team = stage.slack.create_workspace(&format!("W{number}")).id;
        let user = stage.slack.create_user(&team, "ada").id;
        stage.slack.decide(Decision::Approve { tenant: team, user });
        ensure!(stage.install("")?.status == 200);
    }
    stage
        .slack
        .fail("oauth.v2.access", Fault::RateLimited(30), None);
    let before = stage.slack.calls_of("oauth.v2.access").len();
    stage.client.batch_execute(
        "update lockstep.slack_installation set expires_at = now() + interval '1 hour'",
    )?;
    let _other = Sidecar::start(&stage.url, &stage.slack, &[])?;
    thread::sleep(Duration::from_secs(3));
    let calls = stage.slack.calls_of("oauth.v2.access").len() - before;
    ensure!(
        calls <= 2,
        "{calls} calls within 3 s of a 429 with Retry-After: 30"
    );
    Ok(())
}
