//! The fake Slack: accepted messages without a response, and random faults.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::slack::{Fault, Message};
use serde_json::{Value, json};

use crate::slack_fake::message::{POST, scene};
use crate::slack_fake::{PATIENCE, outcome};

#[test]
fn message_is_taken_though_nobody_is_told() -> Result<()> {
    let scene = scene()?;
    let id = &scene.channel.id;
    let post = |text: &str| scene.post(id, &json!({ "text": text }));
    scene.fake.fail(POST, Fault::ClosedAfter, Some(1));
    ensure!(post("cut off").is_err(), "answered");
    scene.fake.fail(POST, Fault::Garbage, Some(1));
    ensure!(post("garbled").is_err(), "understood");
    scene.fake.fail(POST, Fault::ClosedBefore, Some(1));
    ensure!(post("lost").is_err(), "answered");
    post("told")?;
    let messages = scene.fake.messages(id);
    let seen: Vec<_> = messages
        .iter()
        .map(|message| (&*message.text, message.is_answered))
        .collect();
    assert_eq!(
        seen,
        [("cut off", false), ("garbled", false), ("told", true)]
    );
    // A refused call stays refused even if the connection is closed.
    scene.fake.fail(POST, Fault::ClosedAfter, Some(1));
    ensure!(post("").is_err(), "answered");
    assert_eq!(scene.fake.messages(id).len(), 3);
    Ok(())
}

#[test]
fn fault_of_one_channel_spares_the_others() -> Result<()> {
    let scene = scene()?;
    let other = scene.fake.create_channel(&scene.team.id, "other").id;
    scene.fake.join(&other, &scene.installation.bot_user_id)?;
    let id = &scene.channel.id;
    scene.fake.fail_in(POST, id, Fault::RateLimited(9), Some(1));
    let hello = |channel: &str| json!({ "channel": channel, "text": "hello" });
    assert_eq!(scene.reply(POST, &hello(&other))?.status, 200);
    let reply = scene.reply(POST, &hello(id))?;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (429, Some("9"))
    );
    assert_eq!(scene.reply(POST, &hello(id))?.status, 200);
    assert_eq!(
        scene.fake.faults_given(),
        BTreeMap::from([(Fault::RateLimited(9), 1)])
    );
    Ok(())
}

/// The outcomes of 400 calls with random faults.
struct Outcomes {
    /// None if the connection was closed.
    statuses: Vec<Option<u16>>,
    faults: BTreeMap<Fault, usize>,
    messages: Vec<Message>,
}

fn by_chance(seed: u64) -> Result<Outcomes> {
    let scene = scene()?;
    let percent = [
        (Fault::Status(500), 10),
        (Fault::RateLimited(1), 10),
        (Fault::ClosedAfter, 5),
    ];
    scene.fake.fail_by_chance(POST, seed, &percent);
    for number in 0..400 {
        // The client of a closed connection sees an error; the record shows what it was.
        let _ = scene.post(&scene.channel.id, &json!({ "text": number.to_string() }));
    }
    let calls = scene.fake.calls_of(POST);
    Ok(Outcomes {
        statuses: calls.iter().map(|call| call.status).collect(),
        faults: scene.fake.faults_given(),
        messages: scene.fake.messages(&scene.channel.id),
    })
}

#[test]
fn faults_come_by_chance_and_are_counted() -> Result<()> {
    let Outcomes {
        statuses,
        faults,
        messages,
    } = by_chance(1)?;
    let count = |status: Option<u16>| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!(statuses.len(), 400);
    assert_eq!(faults[&Fault::Status(500)], count(Some(500)));
    assert_eq!(faults[&Fault::RateLimited(1)], count(Some(429)));
    assert_eq!(faults[&Fault::ClosedAfter], count(None));
    // These numbers follow from the seed.
    for (status, fewest, most) in [
        (Some(500), 25, 55),
        (Some(429), 25, 55),
        (None, 10, 30),
        (Some(200), 270, 330),
    ] {
        let seen = count(status);
        ensure!((fewest..=most).contains(&seen), "{status:?}: {seen}");
    }
    assert_eq!(messages.len(), count(Some(200)) + count(None));
    let untold = messages.iter().filter(|message| !message.is_answered);
    assert_eq!(untold.count(), count(None));
    let again = by_chance(1)?.statuses;
    ensure!(again == statuses, "the same seed, other faults");
    let other = by_chance(2)?.statuses;
    ensure!(other != statuses, "another seed, the same faults");
    Ok(())
}

#[test]
fn faults_end_when_cleared() -> Result<()> {
    let scene = scene()?;
    let hello = json!({ "channel": scene.channel.id, "text": "hello" });
    scene
        .fake
        .fail_by_chance(POST, 7, &[(Fault::Status(500), 100)]);
    // Ordered faults come first.
    scene.fake.fail(POST, Fault::Status(503), Some(1));
    assert_eq!(scene.reply(POST, &hello)?.status, 503);
    assert_eq!(scene.reply(POST, &hello)?.status, 500);
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "ok");
    scene.fake.clear_faults();
    assert_eq!(scene.reply(POST, &hello)?.status, 200);
    Ok(())
}

#[test]
fn answers_come_late_but_messages_do_not() -> Result<()> {
    let scene = scene()?;
    let delay = Duration::from_millis(300);
    scene.fake.answer_after(delay);
    let begun = Instant::now();
    scene.posted(&scene.channel.id, &json!({ "text": "hello" }))?;
    ensure!(begun.elapsed() >= delay, "{:?}", begun.elapsed());

    scene.fake.answer_after(Duration::from_secs(86_400));
    let body = json!({ "channel": scene.channel.id, "text": "hello" }).to_string();
    let mut stream = TcpStream::connect(scene.fake.address())?;
    write!(
        stream,
        "POST /api/{POST} HTTP/1.1\r\nhost: slack\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        scene.token,
        body.len()
    )?;
    let is_taken = scene
        .fake
        .wait_for_messages_in(&scene.channel.id, 2, PATIENCE);
    ensure!(is_taken, "taken only when it is answered");
    Ok(())
}

#[test]
fn waits_for_messages_wherever_they_go() -> Result<()> {
    let scene = scene()?;
    scene.fake.say(&scene.channel.id, &scene.ada.id, "I say");
    scene.posted(&scene.channel.id, &json!({ "text": "a" }))?;
    scene.posted(&scene.ada.id, &json!({ "text": "b" }))?;
    ensure!(scene.fake.wait_for_messages(2, PATIENCE), "two are missing");
    // Users' messages are not the app's.
    ensure!(
        !scene.fake.wait_for_messages(3, Duration::from_millis(1)),
        "a third"
    );
    ensure!(
        scene
            .fake
            .wait_for_messages_in(&scene.channel.id, 2, PATIENCE),
        "the channel has less"
    );
    Ok(())
}

#[test]
fn fake_that_only_counts_keeps_no_records() -> Result<()> {
    let scene = scene()?;
    scene.fake.only_count();
    let id = &scene.channel.id;
    scene.posted(id, &json!({ "text": "a" }))?;
    assert_eq!(
        outcome(&scene.post("nowhere", &json!({}))?),
        "channel_not_found"
    );
    assert_eq!(scene.fake.calls(), []);
    assert_eq!(scene.fake.call_counts()[POST], 2);
    ensure!(scene.fake.wait_for_calls(POST, 2, PATIENCE), "not counted");
    let messages = scene.fake.messages(id);
    assert_eq!((messages.len(), &messages[0].sent), (1, &Value::Null));
    Ok(())
}
