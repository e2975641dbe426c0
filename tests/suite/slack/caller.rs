//! Slack calling an app: what is sent, how it is signed, and when it is retried.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::send_raw;
use lockstep_tests::slack::caller::{
    Origin, block_actions, block_suggestion, sign, view_closed, view_submission,
};
use lockstep_tests::slack::{App, Caller, FakeSlack};
use serde_json::{Value, json};

use crate::slack_fake::PATIENCE;

/// A request as received.
struct Arrived {
    head: String,
    body: String,
}

impl Arrived {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The fields of a form.
    fn fields(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes())
            .into_owned()
            .collect()
    }

    fn payload(&self) -> Result<Value> {
        let fields = self.fields();
        let [(name, payload)] = &fields[..] else {
            anyhow::bail!("{fields:?}");
        };
        ensure!(name == "payload", "{name}");
        Ok(serde_json::from_str(payload)?)
    }
}

/// An app that gives these responses, one per connection, and shows the requests. An empty response closes the connection.
fn app(answers: &'static [&'static str]) -> Result<(SocketAddr, Receiver<Arrived>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (sender, receiver) = channel();
    thread::spawn(move || -> Result<()> {
        for answer in answers {
            let (mut stream, _) = listener.accept()?;
            // The receiver may be gone.
            let _ = sender.send(read(&stream)?);
            if !answer.is_empty() {
                write!(
                    stream,
                    "HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )?;
            }
        }
        Ok(())
    });
    Ok((address, receiver))
}

fn read(stream: &TcpStream) -> Result<Arrived> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "ended within the head");
    }
    let mut arrived = Arrived {
        head,
        body: String::new(),
    };
    let length = arrived.header("content-length").unwrap_or("0").parse()?;
    reader.take(length).read_to_string(&mut arrived.body)?;
    Ok(arrived)
}

fn caller(address: SocketAddr) -> Caller {
    Caller::new(&format!("http://{address}"), App::default()).with_patience(PATIENCE)
}

#[test]
fn signature_is_over_the_raw_body_and_the_time() -> Result<()> {
    // The example in Slack's documentation.
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = sign(
        "8f742231b10e8888abcd99yyyzzz85a5",
        "1531420618",
        body.as_bytes(),
    );
    let expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    assert_eq!(signature, expected);

    let (address, arrived) = app(&["200 OK"])?;
    let slack = caller(address).with_skew(-1000);
    slack.event("/events", &json!({ "text": "ä" }))?;
    let arrived = arrived.recv()?;
    let timestamp = arrived
        .header("x-slack-request-timestamp")
        .context("no time")?;
    let signature = sign(
        &slack.app().signing_secret,
        timestamp,
        arrived.body.as_bytes(),
    );
    assert_eq!(arrived.header("x-slack-signature"), Some(&*signature));
    let headers = caller(address).signature_headers(b"");
    let ahead = headers[0].1.parse::<i64>()? - timestamp.parse::<i64>()?;
    // Plus the time between the two calls.
    ensure!((1000..2000).contains(&ahead), "{ahead}");
    Ok(())
}

#[test]
fn event_is_sent_again_until_it_arrives() -> Result<()> {
    let (address, arrived) = app(&["500 No", "", "302 Found", "200 OK"])?;
    let mut pauses = Vec::new();
    let deliveries = caller(address).deliver("/events", &json!({ "event_id": "Ev1" }), |pause| {
        pauses.push(pause.as_secs());
    });
    assert_eq!(pauses, [0, 60, 300]);
    assert_eq!(deliveries.len(), 4);
    assert_eq!(deliveries[3].failure, None);
    let mut retries = Vec::new();
    for _ in 0..4 {
        let request = arrived.recv()?;
        ensure!(
            request.head.starts_with("POST /events "),
            "{}",
            request.head
        );
        assert_eq!(request.body, r#"{"event_id":"Ev1"}"#);
        let header = |name| request.header(name).unwrap_or("-").to_owned();
        retries.push((header("x-slack-retry-num"), header("x-slack-retry-reason")));
    }
    let expected = [
        ("-", "-"),
        ("1", "http_error"),
        ("2", "connection_failed"),
        ("3", "too_many_redirects"),
    ];
    let expected = expected.map(|(number, reason)| (number.to_owned(), reason.to_owned()));
    assert_eq!(retries, expected);
    Ok(())
}

#[test]
fn retries_end_after_three_or_when_the_app_forbids_them() -> Result<()> {
    let (address, _arrived) = app(&["503 Busy"; 5])?;
    let deliveries = caller(address).deliver("/events", &json!({}), |_| ());
    assert_eq!(deliveries.len(), 4);
    let (address, _arrived) = app(&["503 Busy\r\nx-slack-no-retry: 1"])?;
    let deliveries = caller(address).deliver("/events", &json!({}), |_| ());
    assert_eq!(deliveries.len(), 1);
    Ok(())
}

#[test]
fn app_that_does_not_answer_is_a_timeout() -> Result<()> {
    // Nobody accepts the connections that the system queues for this listener.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let slack = caller(listener.local_addr()?).with_patience(Duration::from_millis(50));
    let deliveries = slack.deliver("/events", &json!({}), |_| ());
    let names: Vec<_> = deliveries
        .iter()
        .filter_map(|delivery| Some(delivery.failure?.name()))
        .collect();
    assert_eq!(names, ["http_timeout"; 4]);
    Ok(())
}

fn origin() -> Origin {
    Origin {
        team_id: Some("T1".to_owned()),
        team_domain: "acme".to_owned(),
        channel_id: "C1".to_owned(),
        channel_name: "general".to_owned(),
        user_id: "U1".to_owned(),
        user_name: "ada".to_owned(),
        trigger_id: "1.2.3".to_owned(),
        response_url: "http://127.0.0.1:1/response/1".to_owned(),
        ..Origin::default()
    }
}

#[test]
fn command_carries_all_of_slacks_fields() -> Result<()> {
    let (address, arrived) = app(&["200 OK", "200 OK"])?;
    caller(address).command(
        "/command",
        &origin(),
        "/gitlab",
        "help & <more> <@U1|ada> <https://a.b>",
    )?;
    let fields = arrived.recv()?.fields();
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "token",
        "team_id",
        "team_domain",
        "channel_id",
        "channel_name",
        "user_id",
        "user_name",
        "command",
        "text",
        "api_app_id",
        "is_enterprise_install",
        "response_url",
        "trigger_id",
    ];
    assert_eq!(names, expected);
    // Three characters are escaped; mark-up, which nobody types, is unchanged.
    assert_eq!(
        fields[8].1,
        "help &amp; &lt;more&gt; <@U1|ada> <https://a.b>"
    );
    let of_enterprise = Origin {
        enterprise_id: Some("E1".to_owned()),
        ..origin()
    };
    caller(address).command("/command", &of_enterprise, "/gitlab", "")?;
    assert_eq!(arrived.recv()?.fields().len(), 15);
    Ok(())
}

#[test]
fn interactions_are_json_in_a_form() -> Result<()> {
    let (address, arrived) = app(&["200 OK"; 5])?;
    let slack = caller(address);
    let (app, origin) = (slack.app().clone(), origin());
    let view = json!({ "id": "V1", "type": "modal", "hash": "1.2" });
    let actions = json!([{ "action_id": "a", "block_id": "b", "type": "button", "value": "1" }]);
    slack.interaction("/i", &block_actions(&app, &origin, None, &actions))?;
    let payload = arrived.recv()?.payload()?;
    assert_eq!(payload["type"], "block_actions");
    assert_eq!(payload["response_url"], json!(origin.response_url));
    assert_eq!(payload["team"]["id"], "T1");
    assert_eq!(payload["enterprise"], Value::Null);

    slack.interaction("/i", &block_actions(&app, &origin, Some(&view), &actions))?;
    let payload = arrived.recv()?.payload()?;
    assert_eq!(payload["container"]["view_id"], "V1");
    assert_eq!(payload.get("response_url"), None);

    let values = json!({ "b": { "a": { "type": "plain_text_input", "value": "typed" } } });
    slack.interaction("/i", &view_submission(&app, &origin, &view, &values))?;
    let payload = arrived.recv()?.payload()?;
    assert_eq!(payload["view"]["state"]["values"], values);

    slack.interaction("/i", &view_closed(&app, &origin, &view))?;
    assert_eq!(arrived.recv()?.payload()?["is_cleared"], json!(false));

    let org_wide = Origin {
        team_id: None,
        enterprise_id: Some("E1".to_owned()),
        is_enterprise_install: true,
        ..origin
    };
    slack.interaction(
        "/i",
        &block_suggestion(&app, &org_wide, Some(&view), "b", "a", "typ"),
    )?;
    let payload = arrived.recv()?.payload()?;
    assert_eq!(payload["team"], Value::Null);
    assert_eq!(payload["enterprise"]["id"], "E1");
    assert_eq!(payload["value"], "typ");
    Ok(())
}

#[test]
fn questions_of_slack_itself() -> Result<()> {
    let (address, arrived) = app(&["200 OK"; 2])?;
    let slack = caller(address);
    slack.ssl_check("/command")?;
    let request = arrived.recv()?;
    assert_eq!(request.header("x-slack-signature"), None);
    assert_eq!(
        request.fields()[0],
        ("ssl_check".to_owned(), "1".to_owned())
    );
    slack.url_verification("/events", "challenged")?;
    let request = arrived.recv()?;
    ensure!(request.header("x-slack-signature").is_some(), "not signed");
    assert_eq!(
        serde_json::from_str::<Value>(&request.body)?["challenge"],
        "challenged"
    );
    Ok(())
}

#[test]
fn raw_bytes_go_out_as_they_are() -> Result<()> {
    let (address, arrived) = app(&["400 Bad"])?;
    let answer = send_raw(address, b"BREW /pot HTCPCP/1.0\r\n\r\n", PATIENCE)?;
    ensure!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert_eq!(arrived.recv()?.head, "BREW /pot HTCPCP/1.0\r\n\r\n");
    Ok(())
}

/// Slack's own sample payloads, if they are available.
fn sample(name: &str) -> Option<Value> {
    let directory = lockstep_tests::root().join("../shared/data/slack-payloads");
    let text = std::fs::read_to_string(directory.join(name)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Fields that real payloads have and the samples lack.
const NOT_IN_SAMPLES: [&str; 3] = ["response_urls", "context_team_id", "context_enterprise_id"];

#[test]
fn payloads_have_no_fields_of_our_own() -> Result<()> {
    let fake = FakeSlack::start(App::default())?;
    let team = fake.create_workspace("Acme");
    let ada = fake.create_user(&team.id, "ada");
    fake.install(&team.id, &ada.id, &["commands"])?;
    let opened = fake.home_opened(&team.id, &ada.id)?;
    fake.uninstall(&team.id);
    let events = fake.take_events();
    let (app, origin) = (fake.app(), origin());
    let view = json!({ "id": "V1" });
    let cases = [
        ("app-home-opened.json", opened),
        ("app-uninstalled.json", events[0].clone()),
        ("tokens-revoked.json", events[1].clone()),
        (
            "block-action.json",
            block_actions(&app, &origin, Some(&view), &json!([])),
        ),
        (
            "view-submission.json",
            view_submission(&app, &origin, &view, &json!({})),
        ),
        ("view-closed.json", view_closed(&app, &origin, &view)),
    ];
    for (name, payload) in cases {
        let Some(sample) = sample(name) else {
            continue;
        };
        for part in ["", "/event", "/user", "/team", "/authorizations/0"] {
            let ours = payload.pointer(part).and_then(Value::as_object);
            let theirs = sample.pointer(part);
            for field in ours.into_iter().flat_map(|fields| fields.keys()) {
                let is_known = theirs.is_some_and(|theirs| theirs.get(field).is_some());
                ensure!(
                    is_known || NOT_IN_SAMPLES.contains(&field.as_str()),
                    "{name}{part}: {field}"
                );
            }
        }
    }
    Ok(())
}
