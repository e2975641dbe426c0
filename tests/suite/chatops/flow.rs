//! Chatops end to end: environments that are down or slow, commands delivered twice, long answers, team notifications.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::slack::Fault;

use crate::chatops::Room;
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;
use crate::slack_app::COMMANDS;

#[test]
fn an_environment_that_is_down_is_told_beside_the_others() -> Result<()> {
    let mut room = Room::set("chatops_down")?;
    room.reach("pre", false)?;
    let said = room.say("run feature set f true --pre --staging --production")?;
    assert_eq!(
        said,
        "@ada: `/chatops run feature set f true --pre --staging --production`\n\
         :warning: pre: unreachable, so nothing was changed there\n\
         • staging: not set, so off → on\n\
         • production: not set, so off → on\n\
         No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one."
    );
    let said = room.say("run feature get f --pre --staging")?;
    assert_eq!(said, "*f*\n:warning: pre: unreachable\n• staging: on");
    // What depends on an environment that is down is left unchanged.
    room.reach("staging", false)?;
    let said = room.say("run feature set g true")?;
    assert_eq!(
        said,
        ":no_entry: Nothing was changed: whether `g` is on in staging cannot be read at the moment. Try again, or pass `--ignore-feature-flag-consistency-check`."
    );
    let said = room.say("run feature set g true --staging --production")?;
    assert_eq!(
        said,
        "@ada: `/chatops run feature set g true --staging --production`\n\
         :warning: staging: unreachable, so nothing was changed there\n\
         :x: production: nothing was changed: it depends on staging, which was not changed. `--ignore-feature-flag-consistency-check` changes it anyway"
    );
    let said = room.say(
        "run feature set g true --staging --production --ignore-feature-flag-consistency-check",
    )?;
    assert!(said.contains("\n:warning: staging: unreachable, so nothing was changed there\n• production: not set, so off → on\n"), "{said}");
    // They recover by themselves.
    room.reach("pre", true)?;
    room.reach("staging", true)?;
    let said = room.say("run feature get f --pre --staging --production")?;
    assert_eq!(
        said,
        "*f*\n• pre: not set, so off\n• staging: on\n• production: on"
    );
    // Turning off happens in production first; staging follows.
    room.stage
        .client
        .batch_execute("alter table features disable trigger lockstep_feature_audit")?;
    let said = room.say("run feature set f false --pre --staging --production")?;
    assert_eq!(
        said,
        "@ada: `/chatops run feature set f false --pre --staging --production`\n\
         • pre: not set, so off → off\n\
         :x: staging: nothing was changed: it depends on production, which was not changed. `--ignore-feature-flag-consistency-check` changes it anyway\n\
         :x: production: nothing was changed: changes of feature flags in schema public are not recorded. A trigger on features or feature_gates is missing or disabled, so the change would not be audited."
    );
    Ok(())
}
#[test]
fn a_command_that_is_delivered_twice_is_run_once() -> Result<()> {
    let mut room = Room::set("chatops_twice")?;
    room.stage
        .client
        .batch_execute("select lockstep.define_feature('f', \"group\" => 'group::integrations')")?;
    let origin = room.origin(&room.ada, &room.production_channel);
    let command = "run feature set f true --staging --production";
    let first = room.give(&origin, command)?;
    ensure!(
        first
            .text
            .ends_with("#integrations, the channel of `group::integrations`, was notified."),
        "{}",
        first.text
    );
    assert!(first.is_public);
    // Somebody turns it off in between: the second delivery must not turn it on again.
    room.staging
        .batch_execute("select lockstep.set_feature('f', false)")?;
    let second = room.give_again(&origin, command)?;
    assert_eq!(
        second.text,
        "Slack delivered this command twice. It was already done the first time."
    );
    assert!(!second.is_public);
    let on = "select count(*) from feature_gates";
    assert_eq!(number(&mut room.staging, on)?, 0);
    assert_eq!(room.told().len(), 1);
    // At the same time, while the first one waits.
    let origin = room.origin(&room.ada, &room.production_channel);
    let body = room
        .stage
        .caller
        .command_body(&origin, "/chatops", "run incident declare twice");
    let mut lock = room.stage.client.transaction()?;
    lock.batch_execute("lock table lockstep.chatops_incident in access exclusive mode")?;
    std::thread::scope(|scope| -> Result<()> {
        let (caller, body) = (&room.stage.caller, body.as_bytes());
        let post = |minute: i64| {
            let caller = caller.clone().with_skew(-60 * minute);
            caller.post(COMMANDS, "application/x-www-form-urlencoded", body)
        };
        let posts: Vec<_> = (0..4)
            .map(|minute| scope.spawn(move || post(minute)))
            .collect();
        for post in posts {
            let reply = post
                .join()
                .map_err(|_| anyhow::anyhow!("a request panicked"))??;
            assert_eq!(reply.status, 200);
            ensure!(
                reply.text().contains("takes a moment longer"),
                "{}",
                reply.text()
            );
        }
        Ok(())
    })?;
    lock.commit()?;
    let begun = Instant::now();
    loop {
        let all = room.stage.slack.messages(&room.production_channel);
        let twice = all
            .iter()
            .filter(|it| it.text.starts_with("Slack delivered this command twice"))
            .count();
        let done = all
            .iter()
            .filter(|it| it.text.contains("incident 1 of severity 2 is open"))
            .count();
        if (twice, done) == (3, 1) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{all:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        number(
            &mut room.stage.client,
            "select count(*) from lockstep.chatops_incident"
        )?,
        1
    );
    Ok(())
}

/// Slack gets a response within three seconds, whatever a database does, and the answer follows later.
#[test]
fn a_slow_database_is_waited_for() -> Result<()> {
    let room = Room::set("chatops_slow")?;
    let mut other = cluster()?.connect("chatops_slow_staging")?;
    let mut lock = other.transaction()?;
    lock.batch_execute("lock table features in access exclusive mode")?;
    let origin = room.origin(&room.ada, &room.general);
    // The database does not respond before this has returned.
    let reply = room.stage.caller.command(
        COMMANDS,
        &origin,
        "/chatops",
        "run feature set f true --staging --pre",
    )?;
    assert_eq!(
        reply.json()?["text"],
        ":hourglass_flowing_sand: The answer takes a moment longer."
    );
    assert_eq!(room.stage.slack.messages(&room.general).len(), 0);
    lock.commit()?;
    let begun = Instant::now();
    let late = loop {
        if let Some(message) = room.stage.slack.messages(&room.general).first() {
            break message.clone();
        }
        ensure!(begun.elapsed() < PATIENCE, "no response");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(late.sent["response_type"], "in_channel");
    ensure!(
        late.text
            .ends_with("\n• pre: not set, so off → on\n• staging: not set, so off → on"),
        "{}",
        late.text
    );
    Ok(())
}

/// Slack may not accept it at once: the result is reported anyway.
#[test]
fn a_late_answer_is_sent_again() -> Result<()> {
    let room = Room::set("chatops_late")?;
    let mut other = cluster()?.connect("chatops_late_staging")?;
    let mut lock = other.transaction()?;
    lock.batch_execute("lock table features in access exclusive mode")?;
    for fault in [
        Fault::RateLimited(1),
        Fault::Status(503),
        Fault::ClosedBefore,
    ] {
        room.stage.slack.fail("response_url", fault, Some(1));
    }
    room.begin(&room.stage.caller, "run feature set f true --staging")?;
    lock.commit()?;
    assert_eq!(
        room.late(1)?,
        ["@ada: `/chatops run feature set f true --staging`\n• staging: not set, so off → on"]
    );
    assert_eq!(room.stage.slack.faults_given().len(), 3);
    // A response URL that no longer works is given up.
    room.stage
        .slack
        .fail("response_url", Fault::Status(404), None);
    let mut lock = other.transaction()?;
    lock.batch_execute("lock table features in access exclusive mode")?;
    room.begin(&room.stage.caller, "run feature set f false --staging")?;
    lock.commit()?;
    let begun = Instant::now();
    while !room
        .stage
        .sidecar
        .log()
        .contains("a late reply did not arrive")
    {
        ensure!(begun.elapsed() < PATIENCE, "{}", room.stage.sidecar.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(room.late(1)?.len(), 1);
    Ok(())
}

#[test]
fn a_long_answer_comes_in_five_messages_at_most() -> Result<()> {
    let mut room = Room::set("chatops_long")?;
    room.staging.batch_execute(
        "select lockstep.enable_feature_for('a_flag_with_quite_a_long_name_of_number_' || lpad(n::text, 3, '0'), 'User:' || n) from generate_series(1, 150) n",
    )?;
    let origin = room.origin(&room.ada, &room.general);
    let said = room.give(&origin, "run feature list --staging")?;
    let begun = Instant::now();
    let mut all = String::new();
    // Those that the first message leaves out.
    while begun.elapsed() < PATIENCE {
        let late = room.stage.slack.messages(&room.general);
        all = std::iter::once(said.text.clone())
            .chain(late.iter().map(|it| it.text.clone()))
            .collect::<Vec<_>>()
            .join("\n");
        if all.contains("number_150") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for n in 1..=150 {
        ensure!(
            all.contains(&format!("number_{n:03}`: on for User:{n}")),
            "{n}: {all}"
        );
    }
    let late = room.stage.slack.messages(&room.general);
    ensure!((2..=5).contains(&late.len()), "{}", late.len());
    ensure!(
        late.iter()
            .all(|it| it.text.len() <= 3_000 && it.only_for.as_deref() == Some(&room.ada.id))
    );
    // The maximum.
    room.staging.batch_execute(
        "select lockstep.enable_feature_for(repeat('x', 200) || lpad(n::text, 3, '0'), 'User:' || n) from generate_series(1, 190) n",
    )?;
    let before = late.len();
    room.give(
        &room.origin(&room.ada, &room.general),
        "run feature list --staging --match=xxx",
    )?;
    let begun = Instant::now();
    loop {
        let late = room.stage.slack.messages(&room.general);
        if late.len() > before
            && late.last().is_some_and(|it| {
                it.text
                    .ends_with("more lines, which are too long for Slack.")
            })
        {
            ensure!(
                (4..=5).contains(&(late.len() - before)),
                "{}",
                late.len() - before
            );
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{}", late.len());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn the_team_of_a_flag_is_told() -> Result<()> {
    let mut room = Room::set("chatops_team")?;
    room.stage.client.batch_execute(
        "select lockstep.define_feature('f', \"group\" => 'group::integrations'), lockstep.define_feature('g', \"group\" => 'group::other')",
    )?;
    let said = room.say("run feature set f 10 --actors --staging --production")?;
    ensure!(
        said.ends_with("\n#integrations, the channel of `group::integrations`, was notified."),
        "{said}"
    );
    assert_eq!(
        room.told(),
        [
            "`f` in production: not set, so off → on for 10 % of the actors. By @ada in #production: `/chatops run feature set f 10 --actors --staging --production`"
        ]
    );
    // Not for changes outside production, refused commands, or without a channel.
    for (text, words) in [
        (
            "run feature set f 20 --actors --staging",
            "on for 20 % of the actors",
        ),
        (
            "run feature set f true --user=nobody",
            ":x: production: nothing was changed: user \"nobody\" does not exist.",
        ),
        (
            "run feature set g true --staging --production",
            "\nNo channel is configured for `group::other`, so no other was notified.",
        ),
        (
            "run feature get f",
            "on for 10 % of the actors (gitlab_com_derisk, group::integrations)",
        ),
    ] {
        let said = room.say(text)?;
        ensure!(said.contains(words), "{text}: {said}");
    }
    assert_eq!(room.told().len(), 1);
    // What Slack does not accept at once is sent again.
    for fault in [Fault::RateLimited(1), Fault::Status(503)] {
        room.stage.slack.fail("chat.postMessage", fault, Some(1));
    }
    let said = room.say("run feature set f 20 --actors")?;
    ensure!(
        said.ends_with("\n#integrations, the channel of `group::integrations`, was notified."),
        "{said}"
    );
    assert_eq!(room.told().len(), 2);
    // What Slack refuses is reported to the user; the flag is set anyway.
    room.stage
        .slack
        .fail("chat.postMessage", Fault::Error("is_archived"), Some(1));
    let said = room.say("run feature set f true --ignore-large-step-check")?;
    ensure!(
        said.contains("\n• production: on for 20 % of the actors → on\n:warning: #integrations, the channel of `group::integrations`, could not be notified: the channel is archived"),
        "{said}"
    );
    Ok(())
}
