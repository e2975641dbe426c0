//! Changes that would do less, or more, than they seem to: opt-outs, dry runs, large steps, and what an expression hides.

use anyhow::{Result, ensure};

use crate::chatops::Room;
use crate::chatops::case::check;
use crate::service_account::number;

#[test]
fn an_actor_that_a_percentage_includes_is_opted_out() -> Result<()> {
    let mut room = Room::set("chatops_opt_out")?;
    room.staging.batch_execute(
        "select lockstep.set_feature_percentage('f', 100); select lockstep.enable_feature_for('f', 'User:3')",
    )?;
    let given = |text: &str| format!("@ada: `/chatops {text}`\n");
    let in_vain = "run feature set f false --staging --user=bob";
    let out = "run feature set f opt-out --staging --user=bob";
    let again = "run feature set f true --staging --user=bob";
    let end = "run feature set f remove-opt-out --staging --user=bob";
    check(
        &room,
        &[
            (
                in_vain,
                &format!(
                    "{}• staging: on for 100 % of the actors, User:3 → on for 100 % of the actors\n\
                     :warning: staging: a percentage includes User:3, so it stays on there. `opt-out` instead of `false` turns it off.",
                    given(in_vain)
                ),
            ),
            (
                out,
                &format!(
                    "{}• staging: on for 100 % of the actors → on for 100 % of the actors, but never for User:3",
                    given(out)
                ),
            ),
            (
                in_vain,
                &format!(
                    "{}• staging: on for 100 % of the actors, but never for User:3, as before",
                    given(in_vain)
                ),
            ),
            (
                again,
                &format!(
                    "{}:x: staging: nothing was changed: actor \"User:3\" has been opted out of feature \"f\". It would stay off for the actor.",
                    given(again)
                ),
            ),
            (
                end,
                &format!(
                    "{}• staging: on for 100 % of the actors, but never for User:3 → on for 100 % of the actors",
                    given(end)
                ),
            ),
            (
                end,
                &format!(
                    "{}:x: staging: nothing was changed: actor \"User:3\" has not been opted out of feature \"f\". There is no opt-out to end.",
                    given(end)
                ),
            ),
            (
                "run feature set f opt-out --staging",
                ":x: An opt-out needs a target: `--user`, `--project`, `--group` or `--namespace`. Nothing was changed.",
            ),
            (
                "run feature set f opt-out --staging --user=bob --feature-group=staff",
                ":x: Only actors can be opted out, not feature groups. Nothing was changed.",
            ),
            (
                "run feature set f opt-out --staging --actors",
                ":x: An opt-out cannot be combined with `--actors`. Nothing was changed.",
            ),
        ],
    )?;
    Ok(())
}

/// A dry run says the same as the change, leaves nothing behind, tells no team and needs no channel.
#[test]
fn a_dry_run_changes_nothing() -> Result<()> {
    let mut room = Room::set("chatops_dry_run")?;
    room.stage.client.batch_execute(
        r#"select lockstep.define_feature('f', false, 'ops', "group" => 'group::integrations')"#,
    )?;
    let dry = |text: &str| {
        format!(
            "@ada: `/chatops {text}`\nNothing was changed. Without `--dry-run` this would change:\n"
        )
    };
    let both = "run feature set f 25 --actors --staging --production --dry-run";
    let delete = "run feature delete f --staging --dry-run";
    let missing = "run feature set f true --staging --user=nobody --dry-run";
    let left = "select (select count(*) from feature_gates) + (select count(*) from features) + (select count(*) from lockstep.chatops_command)
                 + (select count(*) from lockstep.feature_audit)";
    check(
        &room,
        &[
            (
                both,
                &format!(
                    "{}• staging: not set, so off → on for 25 % of the actors\n• production: not set, so off → on for 25 % of the actors",
                    dry(both)
                ),
            ),
            (
                delete,
                &format!(
                    "{}:x: staging: nothing was changed: feature \"f\" does not exist. Nothing has been set for it.",
                    dry(delete)
                ),
            ),
            (
                missing,
                &format!(
                    "{}:x: staging: nothing was changed: user \"nobody\" does not exist. It is looked up in GitLab's tables.",
                    dry(missing)
                ),
            ),
            (
                "run feature set f true --production --dry-run",
                ":no_entry: Nothing was changed: `f` is off in staging, so it is not turned on in production. Turn it on in staging first, or pass `--ignore-feature-flag-consistency-check`.",
            ),
        ],
    )?;
    assert_eq!(number(&mut room.staging, left)?, 0);
    assert_eq!(number(&mut room.stage.client, left)?, 0);
    ensure!(room.told().is_empty(), "{:?}", room.told());
    Ok(())
}

#[test]
fn a_rollout_does_not_jump_by_mistake() -> Result<()> {
    let mut room = Room::set("chatops_step")?;
    for client in [&mut room.staging, &mut room.stage.client] {
        client.batch_execute("select lockstep.set_feature_percentage('f', 1)")?;
    }
    let refused = |percentage: i32| {
        format!(
            ":no_entry: Nothing was changed: `f` is on for 1 % of the actors in production, and {percentage} % is a large step. Take a smaller one, \
             or pass `--ignore-large-step-check`; `--dry-run` shows what would change."
        )
    };
    check(
        &room,
        &[
            ("run feature set f 90 --actors", &refused(90)),
            (
                "run feature set f 90 --actors --staging --production",
                &refused(90),
            ),
            ("run feature set f true", &refused(100)),
            ("run feature set f 52 --actors", &refused(52)),
        ],
    )?;
    // Half of the actors, some of them, or another environment are no large step.
    for (text, end) in [
        (
            "run feature set f 90 --actors --staging",
            "→ on for 90 % of the actors",
        ),
        (
            "run feature set f true --user=bob",
            "→ on for 1 % of the actors, User:3",
        ),
        (
            "run feature set f 51 --actors",
            "→ on for 51 % of the actors, User:3",
        ),
        ("run feature set f true", "→ on"),
        ("run feature set f false", "→ off"),
        // Without a rollout it is meant to be.
        ("run feature set f true", "→ on"),
    ] {
        let said = room.say(text)?;
        let line = said.lines().nth(1).unwrap_or_default();
        ensure!(line.ends_with(end), "{text}: {said}");
    }
    for client in [&mut room.staging, &mut room.stage.client] {
        client.batch_execute(
            "select lockstep.set_feature('f', false); select lockstep.set_feature_percentage('f', 1)",
        )?;
    }
    let said = room.say("run feature set f 90 --actors --ignore-large-step-check")?;
    ensure!(said.contains("→ on for 90 % of the actors"), "{said}");
    Ok(())
}

#[test]
fn a_flag_is_seen_in_all_environments_and_with_its_expression() -> Result<()> {
    let mut room = Room::set("chatops_all")?;
    room.staging.batch_execute(
        r#"select lockstep.set_feature('f', false);
           insert into feature_gates (feature_key, key, value, created_at, updated_at) values ('f', 'expression', '{"Boolean": [true]}', now(), now())"#,
    )?;
    room.pre
        .batch_execute("select lockstep.set_feature('f', true)")?;
    check(
        &room,
        &[(
            "run feature get f --all",
            "*f*\n• pre: on\n• staging: on for those whom its expression selects, which is not known here\n• production: not set, so off",
        )],
    )?;
    Ok(())
}
