//! The fake Slack: rate limits, faults that a test switches on, response URLs.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::http::Http;
use lockstep_tests::slack::{Fault, Rate};
use serde_json::json;

use crate::slack_fake::{PATIENCE, Scene, home, outcome};

#[test]
fn calls_beyond_the_limit_are_told_when_to_come_back() -> Result<()> {
    let scene = Scene::new()?;
    scene.fake.limit("auth.test", Some(Rate::per_minute(3)));
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(scene.reply("auth.test", &json!({}))?.status);
        scene.fake.clock().advance(Duration::from_secs(10));
    }
    assert_eq!(statuses, [200; 3]);
    let reply = scene.reply("auth.test", &json!({}))?;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), Some("30"));
    assert_eq!(
        reply.json()?,
        json!({ "ok": false, "error": "ratelimited" })
    );
    scene.fake.clock().advance(Duration::from_secs(30));
    assert_eq!(scene.reply("auth.test", &json!({}))?.status, 200);
    assert_eq!(scene.reply("auth.test", &json!({}))?.status, 429);
    scene.fake.lift_limits();
    assert_eq!(scene.reply("auth.test", &json!({}))?.status, 200);
    Ok(())
}

#[test]
fn limits_are_those_of_the_tiers() -> Result<()> {
    for (method, calls) in [
        ("apps.uninstall", 1),
        ("team.info", 50),
        ("users.info", 100),
        ("views.open", 100),
        ("views.publish", 100),
        ("views.update", 100),
        ("chat.postEphemeral", 100),
        ("auth.test", 600),
        ("oauth.v2.access", 100),
        ("chat.postMessage", 300),
    ] {
        let scene = Scene::new()?;
        // These calls are invalid for most methods, and still count.
        for number in 1..=calls {
            let status = scene.reply(method, &json!({}))?.status;
            assert_eq!(status, 200, "{method}, call {number}");
        }
        assert_eq!(scene.reply(method, &json!({}))?.status, 429, "{method}");
    }
    Ok(())
}

#[test]
fn one_message_a_second_in_each_channel() -> Result<()> {
    let scene = Scene::new()?;
    let other = scene.fake.create_channel(&scene.team.id, "other");
    scene
        .fake
        .join(&other.id, &scene.installation.bot_user_id)?;
    let post = |channel: &str| -> Result<u16> {
        let arguments = json!({ "channel": channel, "text": "hello" });
        Ok(scene.reply("chat.postMessage", &arguments)?.status)
    };
    assert_eq!(post(&scene.channel.id)?, 200);
    assert_eq!(post(&other.id)?, 200);
    assert_eq!(post(&scene.channel.id)?, 429);
    scene.fake.clock().advance(Duration::from_secs(1));
    assert_eq!(post(&scene.channel.id)?, 200);
    assert_eq!(scene.fake.messages(&scene.channel.id).len(), 2);
    Ok(())
}

#[test]
fn limits_are_per_workspace() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.fake.limit("auth.test", Some(Rate::per_minute(1)));
    let second = scene.fake.create_workspace("Second");
    let bob = scene.fake.create_user(&second.id, "bob");
    let (_, issued) = scene.fake.install(&second.id, &bob.id, &[])?;
    assert_eq!(scene.reply("auth.test", &json!({}))?.status, 200);
    assert_eq!(scene.reply("auth.test", &json!({}))?.status, 429);
    scene.token = issued.access_token;
    assert_eq!(scene.reply("auth.test", &json!({}))?.status, 200);
    Ok(())
}

#[test]
fn faults_last_as_long_as_they_were_ordered() -> Result<()> {
    let scene = Scene::new()?;
    let arguments = json!({ "user_id": scene.ada.id, "view": home() });
    let publish = || scene.reply("views.publish", &arguments);
    scene
        .fake
        .fail("views.publish", Fault::Status(503), Some(2));
    scene
        .fake
        .fail("views.publish", Fault::RateLimited(7), Some(1));
    scene
        .fake
        .fail("views.publish", Fault::Error("fatal_error"), Some(1));
    for _ in 0..2 {
        let reply = publish()?;
        assert_eq!(reply.status, 503);
        ensure!(reply.json().is_err(), "a proxy does not speak JSON");
    }
    let reply = publish()?;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(outcome(&publish()?.json()?), "fatal_error");
    assert_eq!(scene.fake.home(&scene.ada.id), None);
    // Other methods work in the meantime, and this one does afterwards.
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "ok");
    assert_eq!(outcome(&publish()?.json()?), "ok");

    scene.fake.fail("views.publish", Fault::Status(500), None);
    for _ in 0..3 {
        assert_eq!(publish()?.status, 500);
    }
    scene.fake.clear_faults();
    assert_eq!(publish()?.status, 200);
    let statuses: Vec<_> = scene.fake.calls_of("views.publish");
    let statuses: Vec<_> = statuses.iter().filter_map(|call| call.status).collect();
    assert_eq!(statuses, [503, 503, 429, 200, 200, 500, 500, 500, 200]);
    Ok(())
}

#[test]
fn connection_closes_before_or_after_the_effect() -> Result<()> {
    let scene = Scene::new()?;
    let arguments = json!({ "user_id": scene.ada.id, "view": home() });
    let publications = || scene.fake.home(&scene.ada.id).map(|home| home.publications);
    scene
        .fake
        .fail("views.publish", Fault::ClosedBefore, Some(1));
    ensure!(
        scene.reply("views.publish", &arguments).is_err(),
        "answered"
    );
    assert_eq!(publications(), None);
    scene
        .fake
        .fail("views.publish", Fault::ClosedAfter, Some(1));
    ensure!(
        scene.reply("views.publish", &arguments).is_err(),
        "answered"
    );
    assert_eq!(publications(), Some(1));
    scene.fake.fail("views.publish", Fault::Garbage, Some(1));
    let reply = scene.reply("views.publish", &arguments)?;
    assert_eq!(reply.status, 200);
    ensure!(reply.json().is_err(), "JSON: {}", reply.text());
    assert_eq!(publications(), Some(2));
    let calls = scene.fake.calls_of("views.publish");
    let statuses: Vec<_> = calls.iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, None, Some(200)]);
    Ok(())
}

#[test]
fn slow_answer_comes_late() -> Result<()> {
    let scene = Scene::new()?;
    let delay = Duration::from_millis(300);
    scene.fake.fail("auth.test", Fault::Slow(delay), Some(1));
    let begun = Instant::now();
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "ok");
    ensure!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn what_the_app_did_not_wait_for_takes_effect_nevertheless() -> Result<()> {
    let scene = Scene::new()?;
    let slow = Fault::Slow(Duration::from_millis(200));
    scene.fake.fail("views.publish", slow, Some(1));
    let body = json!({ "user_id": scene.ada.id, "view": home() }).to_string();
    let mut stream = TcpStream::connect(scene.fake.address())?;
    write!(
        stream,
        "POST /api/views.publish HTTP/1.1\r\nhost: slack\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        scene.token,
        body.len()
    )?;
    let has_begun = scene.fake.wait_for_arrivals("views.publish", 1, PATIENCE);
    ensure!(has_begun, "not begun");
    drop(stream);
    let is_recorded = scene.fake.wait_for_calls("views.publish", 1, PATIENCE);
    ensure!(is_recorded, "not recorded");
    ensure!(scene.fake.home(&scene.ada.id).is_some(), "not published");
    Ok(())
}

#[test]
fn fake_that_is_dropped_no_longer_answers() -> Result<()> {
    let scene = Scene::new()?;
    // Another fake may get the same port at once, but is not called with this app's token.
    scene
        .fake
        .change_app(|app| app.client_id = "dropped".to_owned());
    let url = format!(
        "{}/oauth/v2/authorize?client_id=dropped&scope=commands&redirect_uri=http://127.0.0.1/",
        scene.fake.base_url()
    );
    let http = scene.http.clone();
    assert_eq!(http.get(&url, &[])?.status, 302);
    drop(scene);
    let is_there = http.get(&url, &[]).is_ok_and(|reply| reply.status == 302);
    ensure!(!is_there, "answered");
    Ok(())
}

#[test]
fn response_url_takes_five_answers() -> Result<()> {
    let scene = Scene::new()?;
    let url = scene
        .fake
        .response_url(&scene.team.id, &scene.channel.id, &scene.ada.id);
    let bodies = [
        json!({ "text": "one" }),
        json!({ "text": "two", "response_type": "in_channel" }),
        json!({ "delete_original": true }),
        json!({ "blocks": [{ "type": "dividing" }] }),
        json!({ "text": "" }),
        json!({ "text": "six" }),
    ];
    let mut outcomes = Vec::new();
    for body in &bodies {
        let reply = scene.http.post_json(&url, &[], body)?;
        let error = reply.json().map(|answer| outcome(&answer));
        outcomes.push((reply.status, error.unwrap_or_else(|_| reply.text())));
    }
    let expected = [
        (200, "ok"),
        (200, "ok"),
        (200, "ok"),
        (400, "invalid_blocks"),
        (400, "no_text"),
        (404, "used_url"),
    ];
    let expected = expected.map(|(status, text)| (status, text.to_owned()));
    assert_eq!(outcomes, expected);
    let messages = scene.fake.messages(&scene.channel.id);
    let seen: Vec<_> = messages
        .iter()
        .map(|message| message.only_for.clone())
        .collect();
    let ada = Some(scene.ada.id.clone());
    assert_eq!(seen, [ada.clone(), None, ada]);
    Ok(())
}

#[test]
fn response_url_ends_after_thirty_minutes() -> Result<()> {
    let scene = Scene::new()?;
    let url = scene
        .fake
        .response_url(&scene.team.id, &scene.channel.id, &scene.ada.id);
    let http = Http::new(PATIENCE);
    let body = json!({ "text": "late" });
    scene.fake.clock().advance(Duration::from_secs(1799));
    assert_eq!(http.post_json(&url, &[], &body)?.status, 200);
    scene.fake.clock().advance(Duration::from_secs(1));
    let reply = http.post_json(&url, &[], &body)?;
    assert_eq!(
        (reply.status, outcome(&reply.json()?)),
        (404, "expired_url".to_owned())
    );
    let unknown = format!("{}/response/nothing", scene.fake.base_url());
    assert_eq!(http.post_json(&unknown, &[], &body)?.status, 404);
    Ok(())
}
