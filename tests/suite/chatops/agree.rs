//! Staging and production must agree on a flag: it is on in production only while it is on in staging for someone.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;

use crate::chatops::Room;
use crate::concurrency::PATIENCE;
use crate::database::cluster;

const IGNORE: &str = "--ignore-feature-flag-consistency-check";

/// Gives commands one after the other; each answer must end as given.
fn check(room: &Room, cases: &[(&str, &str)]) -> Result<()> {
    for (text, expected) in cases {
        let said = room.say(text)?;
        ensure!(
            said.ends_with(&format!("\n{expected}")) || said == *expected,
            "{text}\nexpected: {expected}\n     was: {said}\n{}",
            room.stage.sidecar.log()
        );
    }
    Ok(())
}

fn run(client: &mut Client, functions: &[&str]) -> Result<()> {
    for function in functions {
        client.batch_execute(&format!("select lockstep.{function}"))?;
    }
    Ok(())
}

const NOBODY_TOLD: &str =
    "No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one.";

#[test]
fn a_flag_that_is_on_in_production_is_not_deleted_in_staging() -> Result<()> {
    let mut room = Room::set("chatops_agree_delete")?;
    let refused = format!(
        ":no_entry: Nothing was changed: `f` is on in production, so it is not deleted in staging. Turn it off in production first, or pass `{IGNORE}`."
    );
    check(
        &room,
        &[
            (
                "run feature set f true --pre --staging --production",
                &format!("• production: not set, so off → on\n{NOBODY_TOLD}"),
            ),
            ("run feature delete f --pre --staging", &refused),
            ("run feature get f --pre", "*f*\n• pre: on"),
            (
                &format!("run feature delete f --staging {IGNORE}"),
                "• staging: on → not set, so off",
            ),
            // A flag that is already off there may be removed there.
            (
                "run feature set f false --staging --ignore-feature-flag-consistency-check",
                "• staging: not set, so off → off",
            ),
            (
                "run feature delete f --staging",
                "• staging: off → not set, so off",
            ),
            // It may be deleted in production, and in both at once.
            (
                "run feature delete f",
                &format!("• production: on → not set, so off\n{NOBODY_TOLD}"),
            ),
            (
                "run feature set f true --staging --production",
                &format!("• production: not set, so off → on\n{NOBODY_TOLD}"),
            ),
            (
                "run feature delete f --staging --production",
                &format!(
                    "• staging: on → not set, so off\n• production: on → not set, so off\n{NOBODY_TOLD}"
                ),
            ),
            // A flag that production does not have may be deleted in staging.
            (
                "run feature set f true --staging",
                "• staging: not set, so off → on",
            ),
            (
                "run feature delete f --staging --production",
                "• staging: on → not set, so off\n:x: production: nothing was changed: feature \"f\" does not exist. Nothing has been set for it.",
            ),
        ],
    )?;
    // A flag that is on by default is turned on in production by deleting it, and stays on in staging.
    let define = "define_feature('d', default_enabled => true, type => 'beta')";
    run(&mut room.staging, &[define, "set_feature('d', false)"])?;
    run(&mut room.stage.client, &[define, "set_feature('d', false)"])?;
    check(
        &room,
        &[
            (
                "run feature delete d",
                &format!(
                    ":x: production: nothing was changed: `d` is off in staging, so it is not turned on in production. Turn it on in staging first, or pass `{IGNORE}`"
                ),
            ),
            (
                "run feature delete d --staging",
                "• staging: off → on by default",
            ),
            (
                "run feature delete d",
                &format!("• production: off → on by default\n{NOBODY_TOLD}"),
            ),
            (
                "run feature set d true --staging",
                "• staging: on by default → on",
            ),
            (
                "run feature delete d --staging",
                "• staging: on → on by default",
            ),
        ],
    )
}

#[test]
fn the_last_actor_in_staging_stays_while_it_is_on_in_production() -> Result<()> {
    let mut room = Room::set("chatops_agree_actor")?;
    run(
        &mut room.staging,
        &[
            "enable_feature_for('f', 'User:2')",
            "enable_feature_for('f', 'User:3')",
        ],
    )?;
    run(
        &mut room.stage.client,
        &["enable_feature_for('f', 'User:2')"],
    )?;
    check(
        &room,
        &[
            (
                "run feature set f false --user=ada --staging",
                "• staging: on for User:2, User:3 → on for User:3",
            ),
            (
                "run feature set f false --user=bob --staging",
                &format!(
                    ":x: staging: nothing was changed: `f` is on in production, so it is not turned off in staging. Turn it off in production first, or pass `{IGNORE}`"
                ),
            ),
            // In production for fewer actors, whatever it is in staging.
            (
                "run feature set f false --user=ada --staging --production",
                &format!(
                    "• staging: on for User:3, as before\n• production: on for User:2 → off\n{NOBODY_TOLD}"
                ),
            ),
            (
                "run feature set f false --user=bob --staging",
                "• staging: on for User:3 → off",
            ),
        ],
    )
}

/// A flag with nothing but an opt-out is on for nobody.
#[test]
fn an_exception_turns_nothing_on() -> Result<()> {
    let mut room = Room::set("chatops_agree_exception")?;
    run(
        &mut room.staging,
        &[
            "opt_out_of_feature('f', 'User:9')",
            "set_feature('g', true)",
        ],
    )?;
    run(
        &mut room.stage.client,
        &["opt_out_of_feature('g', 'User:9')"],
    )?;
    check(
        &room,
        &[
            (
                "run feature set f true",
                &format!(
                    ":no_entry: Nothing was changed: `f` is off in staging, so it is not turned on in production. Turn it on in staging first, or pass `{IGNORE}`."
                ),
            ),
            ("run feature set g false --staging", "• staging: on → off"),
        ],
    )
}

/// One sidecar turns a flag off in staging while another turns it on in production: each has checked that it may.
#[test]
fn two_commands_at_once_see_each_other() -> Result<()> {
    let mut room = Room::set("chatops_agree_race")?;
    run(&mut room.staging, &["set_feature('f', true)"])?;
    let (_other_sidecar, other) = room.another()?;
    let mut gate = cluster()?.connect("chatops_agree_race_staging")?;
    let mut gate = gate.transaction()?;
    gate.batch_execute("select from features where key = 'f' for update")?;
    room.begin(&room.stage.caller, "run feature set f false --staging")?;
    room.begin(&other, "run feature set f true --production")?;
    // The second waits for the first, which waits at the gate.
    let waiting = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                    where d.datname = current_database() and l.locktype = 'advisory' and not l.granted";
    let begun = Instant::now();
    while room.stage.client.query_one(waiting, &[])?.get::<_, i64>(0) != 1 {
        ensure!(
            begun.elapsed() < PATIENCE,
            "{:?}",
            room.stage.slack.messages(&room.production_channel)
        );
        sleep(Duration::from_millis(20));
    }
    gate.commit()?;
    let mut late = room.late(2)?;
    late.sort();
    assert_eq!(
        late,
        [
            "@ada: `/chatops run feature set f false --staging`\n• staging: on → off".to_owned(),
            format!(
                "@ada: `/chatops run feature set f true --production`\n\
                 :x: production: nothing was changed: `f` is off in staging, so it is not turned on in production. Turn it on in staging first, or pass `{IGNORE}`"
            ),
        ]
    );
    let said = room.say("run feature get f --staging --production")?;
    assert_eq!(said, "*f*\n• staging: off\n• production: not set, so off");
    Ok(())
}
