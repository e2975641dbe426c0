//! 5,000 events while Slack fails, disconnects after accepting, and sidecars are killed: every event reaches every channel, in
//! order, and twice only where nobody could know that it had arrived.
//!
//! LOCKSTEP_SEED=... replays the faults, the kills and who publishes what how; the interleaving depends on the machine.

use std::collections::{BTreeMap, HashMap};
use std::io::{Write, stderr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;
use lockstep_tests::slack::{App, FakeSlack, Fault, Message};
use nix::sys::signal::Signal;
use postgres::Client;

use crate::notification::app::TOKEN;
use crate::notification::chaos_plan::{
    EVENTS, FIRST, Herd, PATIENCE, PROJECTS, PUBLISHERS, SIDECARS, Seen, Told, UNDER_WAY,
    assert_paced, lay_out, publish, title,
};
use crate::notification::restart::event_of;
use crate::random::plan::Dice;
use crate::random::seed;
use crate::service_account::number;
use crate::slack_app::Stage;

const POST: &str = "chat.postMessage";

/// This many sidecars are killed; afterwards kills are no longer an excuse.
const KILLS: usize = 8;

/// The uncertain requests of each delivery, by channel name and event.
fn uncertain(client: &mut Client) -> Result<HashMap<(String, String), usize>> {
    let query = "select c.channel, e.payload -> 'commits' -> 0 ->> 'title', d.uncertain
                   from lockstep_internal.slack_delivery d join lockstep_internal.slack_channel c on c.id = d.channel join lockstep_internal.event e on e.id = d.event";
    let rows = client.query(query, &[])?;
    rows.iter()
        .map(|row| {
            let count: i32 = row.get(2);
            Ok(((row.get(0), row.get(1)), usize::try_from(count)?))
        })
        .collect()
}

/// Messages that were accepted more than once, and why.
#[derive(Debug, Default)]
struct Copies {
    hung_up: usize,
    killed: usize,
}

/// Checks the messages of a channel: all of its project's events, in order.
fn look_through(
    told: &Told,
    messages: &[Message],
    uncertain: &HashMap<(String, String), usize>,
    kills: &[RangeInclusive<SystemTime>],
    copies: &mut Copies,
) -> Result<()> {
    let mut first = Vec::new();
    let mut of_event: BTreeMap<String, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        let event = event_of(message)?;
        let known = of_event.entry(event.clone()).or_default();
        if known.is_empty() {
            first.push(event);
        }
        known.push(message);
    }
    let expected: Vec<String> = (0..EVENTS)
        .map(|event| title(told.project, event))
        .collect();
    ensure!(first == expected, "{}: {first:?}", told.name);
    for (event, messages) in of_event {
        let doubts = uncertain
            .get(&(told.name.clone(), event.clone()))
            .with_context(|| format!("no delivery of {event} to {}", told.name))?;
        ensure!(
            messages.len() <= doubts + 1,
            "{event} is {} times in {}, and {doubts} times in doubt",
            messages.len(),
            told.name
        );
        for pair in messages.windows(2) {
            let [message, again] = pair else {
                continue;
            };
            if !message.is_answered {
                copies.hung_up += 1;
                continue;
            }
            // Slack responded, and nobody was there to receive it.
            ensure!(
                kills
                    .iter()
                    .any(|kill| *kill.start() <= again.at && message.at <= *kill.end()),
                "{event} was told to {}, and told again though nobody was killed in between",
                told.name
            );
            copies.killed += 1;
        }
    }
    Ok(())
}

/// A channel that was rate-limited for a second gets nothing for a second.
fn assert_patient(slack: &FakeSlack) -> Result<()> {
    let mut waiting: HashMap<String, SystemTime> = HashMap::new();
    for call in slack.calls_of(POST) {
        let channel = call.arguments["channel"].to_string();
        if let Some(told_at) = waiting.remove(&channel) {
            let waited = call.at.duration_since(told_at).unwrap_or_default();
            ensure!(
                waited >= Duration::from_millis(990),
                "{channel} was called again after {waited:?}"
            );
        }
        if call.status == Some(429) {
            waiting.insert(channel, call.at);
        }
    }
    Ok(())
}

#[test]
fn every_event_reaches_every_channel() -> Result<()> {
    let seed = seed()?;
    writeln!(stderr(), "notification_chaos: LOCKSTEP_SEED={seed}")?;
    run(seed).with_context(|| format!("LOCKSTEP_SEED={seed}"))
}

fn run(seed: u64) -> Result<()> {
    const DATABASE: &str = "notification_chaos";
    // This one only installs: those that deliver start later.
    let mut stage = Stage::set_with(DATABASE, App::default(), &[])?;
    let told = lay_out(&mut stage)?;
    stage.sidecar.signal(Signal::SIGKILL)?;
    stage.sidecar.wait_until_dead()?;
    let (url, slack) = (&stage.url, &stage.slack);
    let faults = [
        (Fault::Status(500), 10),
        (Fault::RateLimited(1), 10),
        (Fault::ClosedAfter, 5),
    ];
    slack.fail_by_chance(POST, seed, &faults);
    let herd = Herd::start(url, slack)?;
    let begun = Instant::now();
    let is_over = AtomicBool::new(false);
    let waiting = "select count(*) from lockstep_internal.slack_delivery where status = 'waiting'";
    let expected = told.len() * usize::try_from(EVENTS)?;
    let client = &mut stage.client;
    let seen = thread::scope(|scope| -> Result<Vec<Seen>> {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let herd = &herd;
                scope.spawn(move || publish(publisher, seed, herd, DATABASE))
            })
            .collect();
        let killer = scope.spawn(|| -> Result<()> {
            let mut dice = Dice::new(seed, u64::try_from(PUBLISHERS)?);
            for _ in 0..KILLS {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                sleep(Duration::from_millis(500 + dice.below(4_000)));
                let which = usize::try_from(dice.below(SIDECARS as u64))?;
                herd.kill(which, url, slack)?;
            }
            Ok(())
        });
        let ended = (|| -> Result<Vec<Seen>> {
            let seen = publishers
                .into_iter()
                .map(|publisher| publisher.join().ok().context("a publisher panicked")?)
                .collect::<Result<Vec<_>>>()?;
            while number(client, waiting)? > 0 {
                ensure!(begun.elapsed() < PATIENCE, "it never ends\n{}", herd.logs());
                sleep(Duration::from_millis(100));
            }
            Ok(seen)
        })();
        // Also after a failure: otherwise the killer would never stop.
        is_over.store(true, Ordering::SeqCst);
        killer.join().ok().context("the killer panicked")??;
        ended
    })?;
    let took = begun.elapsed();
    let events = number(client, "select count(*) from lockstep_internal.event")?;
    assert_eq!(events, PROJECTS * EVENTS);
    let twice = "select count(*) from (select from lockstep_internal.slack_delivery group by event, channel having count(*) > 1) d";
    assert_eq!(number(client, twice)?, 0);
    let delivered =
        "select count(*) from lockstep_internal.slack_delivery where status = 'delivered'";
    assert_eq!(number(client, delivered)?, i64::try_from(expected)?);

    let uncertain = uncertain(client)?;
    let killed = herd.kills.lock().ok().context("poisoned")?.clone();
    let kills = killed.len();
    let mut copies = Copies::default();
    let mut taken = 0;
    for channel in &told {
        let messages = slack.messages(&channel.id);
        taken += messages.len();
        look_through(channel, &messages, &uncertain, &killed, &mut copies)?;
    }
    let doubts: usize = uncertain.values().sum();
    let given = slack.faults_given();
    let by_chance: usize = given.values().sum();
    let calls = slack.calls_of(POST);
    let limited = calls.iter().filter(|call| call.status == Some(429)).count();
    let too_soon = limited
        - given
            .get(&Fault::RateLimited(1))
            .copied()
            .unwrap_or_default();
    writeln!(
        stderr(),
        "notification_chaos: {} events for {expected} messages in {took:.1?}, {taken} taken in {} calls; {by_chance} faults {given:?}, \
         {too_soon} too soon, {kills} kills; told again: {copies:?}, in doubt: {doubts}; {seen:?}",
        PROJECTS * EVENTS,
        calls.len()
    )?;
    assert_eq!(taken, expected + copies.hung_up + copies.killed);
    // Each disconnect and each error during processing is uncertain, and a kill adds at most the messages in flight.
    ensure!(
        doubts >= copies.hung_up + copies.killed
            && doubts
                <= given[&Fault::ClosedAfter] + given[&Fault::Status(500)] + kills * UNDER_WAY,
        "{doubts} in doubt"
    );
    ensure!(
        copies.hung_up > 0,
        "Slack never hung up: this shows nothing"
    );
    ensure!(kills > 0, "nobody was killed: this shows nothing");
    assert_patient(slack)?;
    assert_paced(client)
}

/// Without kills it is exact: only messages that Slack accepted before disconnecting are repeated, and only these and errors
/// during processing are uncertain.
#[test]
fn only_hang_ups_are_told_again() -> Result<()> {
    const DATABASE: &str = "notification_hang_ups";
    const MESSAGES: usize = 400;
    let seed = seed()?;
    writeln!(stderr(), "notification_hang_ups: LOCKSTEP_SEED={seed}")?;
    let token = format!("--gitlab-token={TOKEN}");
    let mut stage = Stage::set_with(DATABASE, App::default(), &[&token])?;
    let told = lay_out(&mut stage)?;
    let faults = [
        (Fault::Status(500), 10),
        (Fault::RateLimited(1), 10),
        (Fault::ClosedAfter, 10),
    ];
    stage.slack.fail_by_chance(POST, seed, &faults);
    let mut expected = 0;
    for event in 0..EVENTS {
        for project in FIRST..FIRST + PROJECTS {
            if expected < MESSAGES {
                let payload = push(project, &title(project, event)).to_string();
                let query = "select coalesce(sum(cardinality(channels)), 0)::bigint from lockstep.publish_event($1::text::jsonb)";
                let row = stage.client.query_one(query, &[&payload])?;
                expected += usize::try_from(row.get::<_, i64>(0))?;
            }
        }
    }
    // Six failures of one message, which are rare, take a minute.
    let waiting = "select count(*) from lockstep_internal.slack_delivery where status = 'waiting'";
    let begun = Instant::now();
    while number(&mut stage.client, waiting)? > 0 {
        ensure!(
            begun.elapsed() < PATIENCE,
            "LOCKSTEP_SEED={seed}: it never ends\n{}",
            stage.sidecar.log()
        );
        sleep(Duration::from_millis(50));
    }
    let mut taken = 0;
    let mut unanswered = 0;
    for channel in &told {
        let messages = stage.slack.messages(&channel.id);
        taken += messages.len();
        unanswered += messages
            .iter()
            .filter(|message| !message.is_answered)
            .count();
    }
    let doubts: usize = uncertain(&mut stage.client)?.values().sum();
    let given = stage.slack.faults_given();
    let in_doubt = given[&Fault::ClosedAfter] + given[&Fault::Status(500)];
    ensure!(
        (doubts, taken) == (in_doubt, expected + unanswered),
        "LOCKSTEP_SEED={seed}: {expected} messages, {taken} taken, {unanswered} of them unanswered, {given:?}, {doubts} in doubt\n{}",
        stage.sidecar.log()
    );
    Ok(())
}
