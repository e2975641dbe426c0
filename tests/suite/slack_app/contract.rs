//! What the app promises to its peers: a signed request runs once, no text is an outage, unsigned bodies take no memory, and a proxy is
//! used for Slack.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::http::{FORM, Reply, form};
use lockstep_tests::slack::caller::{Origin, block_actions, block_suggestion};
use serde_json::{Value, json};

use crate::concurrency::PATIENCE;
use crate::notification::app::Scene;
use crate::service_account::number;
use crate::slack_app::{COMMANDS, EVENTS, INTERACTIONS, OPTIONS, Stage, command, http};

/// The same bytes with the same signature, sent several times.
fn send(stage: &Stage, path: &str, body: &str, times: usize) -> Result<Vec<Reply>> {
    let signature = stage.caller.signature_headers(body.as_bytes());
    let mut headers = vec![("content-type", FORM)];
    headers.extend(signature.iter().map(|(name, value)| (*name, &**value)));
    let url = stage.caller.url(path);
    let sent = (0..times).map(|_| Ok(http().send("POST", &url, &headers, body.as_bytes())?));
    sent.collect()
}

#[test]
fn a_signed_request_runs_once() -> Result<()> {
    let mut scene = Scene::new("app_replay")?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    let origin = Origin {
        team_id: Some(scene.team.clone()),
        user_id: scene.ada.clone(),
        ..Origin::default()
    };
    let stage = &scene.stage;
    let body = stage
        .caller
        .command_body(&origin, "/gitlab", "group/one test");
    let replies = send(stage, COMMANDS, &body, 3)?;
    ensure!(!replies[0].body.is_empty(), "nothing was said");
    for replayed in &replies[1..] {
        ensure!(
            replayed.status == 200 && replayed.body.is_empty(),
            "{}",
            replayed.text()
        );
    }
    let tests = "select count(*) from lockstep_internal.slack_delivery";
    assert_eq!(number(&mut scene.stage.client, tests)?, 1);
    // Typed once more it is another one.
    let again = scene
        .stage
        .caller
        .command(COMMANDS, &origin, "/gitlab", "group/one test")?;
    ensure!(again.status == 200 && !again.body.is_empty());
    assert_eq!(scene.settled(&general)?.len(), 2);

    // A click that somebody has recorded undoes nothing.
    let query = "select id from slack_integrations";
    let row: i64 = scene.stage.client.query_one(query, &[])?.get(0);
    let switch = json!([{ "type": "button", "action_id": "switch_off", "block_id": "b", "value": row.to_string(), "action_ts": "1.1" }]);
    let payload = block_actions(&scene.stage.slack.app(), &origin, None, &switch);
    let body = form(&[("payload", &payload.to_string())]);
    let recorded = scene.stage.caller.signature_headers(body.as_bytes());
    let mut headers = vec![("content-type", FORM)];
    headers.extend(recorded.iter().map(|(name, value)| (*name, &**value)));
    let url = scene.stage.caller.url(INTERACTIONS);
    let active = "select count(*) from integrations where active";
    assert_eq!(
        http().send("POST", &url, &headers, body.as_bytes())?.status,
        200
    );
    assert_eq!(number(&mut scene.stage.client, active)?, 0);
    scene
        .stage
        .client
        .batch_execute("update integrations set active = true")?;
    assert_eq!(
        http().send("POST", &url, &headers, body.as_bytes())?.status,
        200
    );
    assert_eq!(number(&mut scene.stage.client, active)?, 1);
    let replayed = ["lockstep_slack_refusals_total", "replayed"];
    ensure!((scene.stage.sidecar.metric(&replayed)? - 3.0).abs() < 0.5);
    Ok(())
}

/// What the database can never store is a refusal, or an answer, but no outage: Slack would send it again.
#[test]
fn no_text_is_an_outage() -> Result<()> {
    let mut scene = Scene::new("app_texts")?;
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    let (team, ada) = (scene.team.clone(), scene.ada.clone());
    let event = |id: &str, team: &str, user: &str| {
        json!({ "type": "event_callback", "team_id": team, "event_id": id, "event_time": 1_700_000_000,
                "event": { "type": "app_home_opened", "user": user, "tab": "home" } })
    };
    let long = "E".repeat(300);
    let stage = &scene.stage;
    for (what, envelope) in [
        ("a long id", event(&long, &team, &ada)),
        ("a NUL in the id", event("Ev\0", &team, &ada)),
        ("a NUL in the team", event("Ev1", "T\0", &ada)),
        ("a NUL in the user", event("Ev2", &team, "U\0")),
        ("a long team", event("Ev3", &long, &ada)),
    ] {
        let reply = stage.caller.event(EVENTS, &envelope)?;
        ensure!(
            reply.status < 500,
            "{what}: {} {}",
            reply.status,
            reply.text()
        );
        if reply.status >= 400 {
            ensure!(
                reply.header("x-slack-no-retry") == Some("1"),
                "{what} comes again"
            );
        }
    }
    let people = [
        (&*team, &*ada),
        ("T\0", &*ada),
        (&*team, "U\0"),
        (&*long, &*long),
    ];
    for (team, user) in people {
        let origin = Origin {
            team_id: Some(team.to_owned()),
            user_id: user.to_owned(),
            ..Origin::default()
        };
        for text in [
            "status",
            "a\0b status",
            "group/one\0 status",
            "group/one status \0",
            "\0",
            &long,
        ] {
            let reply = stage.caller.command(COMMANDS, &origin, "/gitlab", text)?;
            ensure!(
                reply.status < 500,
                "{text:?}: {} {}",
                reply.status,
                reply.text()
            );
        }
        let app = stage.slack.app();
        for value in ["1", "1\0", "\0", &long, "9223372036854775808"] {
            for action in ["switch_off", "notification_settings", "project_picker"] {
                let action = json!([{ "type": "button", "action_id": action, "block_id": "b\0", "value": value, "action_ts": "1\0" }]);
                let payload = block_actions(&app, &origin, None, &action);
                let reply = stage.caller.interaction(INTERACTIONS, &payload)?;
                ensure!(
                    reply.status < 500,
                    "{action}: {} {}",
                    reply.status,
                    reply.text()
                );
            }
            let payload = block_suggestion(&app, &origin, None, "more", "project_picker", value);
            let reply = stage.caller.interaction(OPTIONS, &payload)?;
            ensure!(
                reply.status < 500,
                "{value:?}: {} {}",
                reply.status,
                reply.text()
            );
        }
    }
    let strange = |field: &str, value: Value| {
        let mut event = push(1, "Boil the water");
        event[field] = value;
        event
    };
    for event in [
        strange("user_name", json!("a\0b")),
        strange("ref", json!("refs/heads/a\0b")),
        strange("ref", json!("x".repeat(100_000))),
        strange("project_id", json!(-1)),
        strange("checkout_sha", json!("\0")),
    ] {
        let reply = scene.webhook.send(&event)?;
        ensure!(
            reply.status == 200,
            "{event}: {} {}",
            reply.status,
            reply.text()
        );
    }
    for key in ["k".repeat(300), "k".repeat(8000)] {
        let reply = scene.webhook.send_as(&key, &push(1, "Boil"))?;
        ensure!(reply.status == 200, "{}: {}", key.len(), reply.text());
    }
    Ok(())
}

/// Anybody can send a fresh timestamp and something like a signature.
#[test]
fn unsigned_bodies_share_little_memory() -> Result<()> {
    const SENDERS: usize = 400;
    let stage = Stage::set("app_unsigned")?;
    let address = stage.sidecar.base.trim_start_matches("http://").to_owned();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let head = format!(
        "POST {COMMANDS} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {FORM}\r\ncontent-length: {}\r\n\
         x-slack-request-timestamp: {}\r\nx-slack-signature: v0={}\r\n\r\n",
        1 << 20,
        now.as_secs(),
        "0".repeat(64)
    );
    let before = stage.sidecar.memory()?;
    let body = vec![b'a'; (1 << 20) - 1];
    let mut streams = Vec::new();
    let mut written = 0;
    for _ in 0..SENDERS {
        let mut stream = TcpStream::connect(&address)?;
        stream.set_write_timeout(Some(Duration::from_millis(50)))?;
        // Some are refused while they send.
        let sent = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body));
        written += usize::from(sent.is_ok());
        streams.push(stream);
    }
    ensure!(written > 10, "only {written} have sent anything");
    let grown = stage.sidecar.memory()?.saturating_sub(before);
    ensure!(grown < 100 << 10, "{grown} kB for {SENDERS} senders");
    drop(streams);
    let origin = Origin {
        team_id: Some("T1".to_owned()),
        user_id: "U1".to_owned(),
        ..Origin::default()
    };
    ensure!(stage.say(&origin, "help")?.contains("*Commands*"));
    Ok(())
}

type Seen = (String, Vec<u8>);

/// A proxy that opens a tunnel and sees what comes through it first: what it was asked, and the first bytes.
fn proxy() -> Result<(String, JoinHandle<Result<Seen>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut asked = Vec::new();
        let mut byte = [0];
        while !asked.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            asked.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        let mut first = vec![0; 4096];
        let length = stream.read(&mut first)?;
        first.truncate(length);
        Ok((String::from_utf8(asked)?, first))
    });
    Ok((address, serving))
}

fn check(stage: &Stage, variables: &[(&str, &str)]) -> Result<String> {
    let mut check = command("check", &stage.url, &stage.slack);
    check
        .arg("--public-url=http://127.0.0.1:1")
        .env("LOCKSTEP_SLACK_URL", "https://slack.invalid")
        .envs(variables.iter().copied());
    Ok(String::from_utf8_lossy(&check.output()?.stdout).into_owned())
}

#[test]
fn check_tells_that_both_addresses_are_one() -> Result<()> {
    let stage = Stage::set("app_one_address")?;
    let address = "127.0.0.1:18080";
    let variables = [
        ("LOCKSTEP_LISTEN", address),
        ("LOCKSTEP_ADMIN_LISTEN", address),
    ];
    let said = check(&stage, &variables)?;
    ensure!(
        said.contains(
            "wrong: --admin-listen (LOCKSTEP_ADMIN_LISTEN) is the same address as --listen"
        ),
        "{said}"
    );
    Ok(())
}

/// A compose file or a unit passes on variables that are set to nothing.
#[test]
fn variables_that_are_empty_are_not_set() -> Result<()> {
    let stage = Stage::set("app_empty_variables")?;
    let names = [
        "LOCKSTEP_LISTEN",
        "LOCKSTEP_SESSIONS",
        "LOCKSTEP_SPOOL",
        "LOCKSTEP_VIEWER_PASSWORD",
        "LOCKSTEP_FORWARDED_FOR",
        "LOCKSTEP_GITLAB_URL",
        "LOCKSTEP_MANAGERS",
        "LOCKSTEP_SCHEMA",
        "LOCKSTEP_LOG_FORMAT",
        "SLACK_SIGNING_SECRET_FILE",
    ];
    let variables: Vec<_> = names.iter().map(|name| (*name, "")).collect();
    let said = check(&stage, &variables)?;
    ensure!(said.starts_with("ok: the settings"), "{said}");
    let said = check(&stage, &[("SLACK_SIGNING_SECRET", "")])?;
    ensure!(said.contains("SLACK_SIGNING_SECRET) is not set"), "{said}");
    Ok(())
}

/// No request to Slack goes past the proxy, and the proxy reads none of them.
#[test]
fn slack_is_reached_through_the_proxy() -> Result<()> {
    let stage = Stage::set("app_proxy")?;
    let (address, serving) = proxy()?;
    let url = format!("http://user:word@{address}");
    let said = check(&stage, &[("HTTPS_PROXY", &url)])?;
    let (asked, first) = serving
        .join()
        .map_err(|_| anyhow!("the proxy panicked"))??;
    ensure!(
        asked.starts_with("CONNECT slack.invalid:443 HTTP/1.1\r\n"),
        "{asked}"
    );
    // user:word
    ensure!(
        asked
            .to_lowercase()
            .contains("proxy-authorization: basic dxnlcjp3b3jk"),
        "{asked}"
    );
    // A TLS handshake that names Slack.
    ensure!(first.starts_with(&[22, 3]), "{first:?}");
    let name = b"slack.invalid";
    ensure!(first.windows(name.len()).any(|it| it == name), "{first:?}");
    ensure!(
        said.contains("wrong: Slack at https://slack.invalid"),
        "{said}"
    );
    Ok(())
}

#[test]
fn no_proxy_is_honoured() -> Result<()> {
    let stage = Stage::set("app_no_proxy")?;
    for names in ["slack.invalid", "other.example,.invalid"] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let said = check(&stage, &[("HTTPS_PROXY", &url), ("NO_PROXY", names)])?;
        ensure!(
            said.contains("wrong: Slack at https://slack.invalid"),
            "{said}"
        );
        listener.set_nonblocking(true)?;
        let asked = listener.accept();
        ensure!(
            asked
                .as_ref()
                .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "the proxy was asked in spite of NO_PROXY={names}: {asked:?}"
        );
    }
    let none = check(&stage, &[]).context("without a proxy")?;
    ensure!(none.contains("wrong: Slack at"), "{none}");
    Ok(())
}
