//! Changes that would do less, or more, than they seem to: opt-outs, dry runs, large steps, and what an expression hides.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::slack::caller::block_actions;
use lockstep_tests::slack::{Message, User};
use serde_json::{Value, json};

use crate::chatops::answers::check;
use crate::chatops::{LATER, Room, command};
use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::slack_app::INTERACTIONS;

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
                     :warning: staging: a percentage or a group includes User:3, so it stays on there. `opt-out` instead of `false` turns it off.",
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

/// The refusal has a button that takes the step, for whoever may give the command, and once.
#[test]
fn a_large_step_is_taken_by_a_button() -> Result<()> {
    let mut room = Room::set("chatops_button")?;
    for client in [&mut room.staging, &mut room.stage.client] {
        client.batch_execute("select lockstep.set_feature_percentage('f', 1)")?;
    }
    let refusal = room.answer("run feature set f 90 --actors")?;
    let button = &refusal["blocks"][1]["elements"][0];
    assert_eq!(
        button["value"],
        "run feature set f 90 --actors --large-step-from=1"
    );
    assert_eq!(
        button["confirm"]["text"]["text"],
        "f from 1 % to 90 % of the actors in production?"
    );
    let percentage = "select percentage_of_actors::bigint from lockstep.features where name = 'f'";
    assert_eq!(number(&mut room.stage.client, percentage)?, 1);
    let said = room.click(&room.eve, button)?;
    ensure!(
        said.starts_with(":no_entry: You may not give commands here"),
        "{said}"
    );
    assert_eq!(number(&mut room.stage.client, percentage)?, 1);
    let said = room.click(&room.ada, button)?;
    ensure!(
        said.contains("on for 1 % of the actors → on for 90 % of the actors"),
        "{said}"
    );
    assert_eq!(number(&mut room.stage.client, percentage)?, 90);
    // The step that was asked about is no longer the one that it would be.
    for (now, is) in [
        (
            "set_feature_percentage('f', 30)",
            "on for 30 % of the actors",
        ),
        ("set_feature('f', true)", "on"),
        ("set_feature('f', false)", "off"),
    ] {
        room.stage
            .client
            .batch_execute(&format!("select lockstep.{now}"))?;
        let said = room.click(&room.ada, button)?;
        assert_eq!(
            said,
            format!(
                ":no_entry: Nothing was changed: `f` was on for 1 % of the actors in production when this step was asked about, and is now {is}. \
                 Give the command again."
            ),
            "{now}"
        );
    }
    // Whatever the program has seen before.
    for (from, is_done) in [(1, false), (30, true)] {
        room.stage.client.batch_execute("select lockstep.set_feature('f', false); select lockstep.set_feature_percentage('f', 30)")?;
        let call = format!(
            "select lockstep_api.chatops_set_feature('{{\"trigger_id\": \"t{from}\", \"request\": \"r\", \"team_id\": \"T\", \"user_id\": \"U\", \"text\": \"t\"}}', 'f',
                                                     '{{\"percentage\": \"90\", \"of\": \"actors\", \"from\": {from}}}')"
        );
        match room.stage.client.batch_execute(&call) {
            Ok(()) => ensure!(is_done, "{from}"),
            Err(error) => {
                let code = error.code().map(|it| it.code().to_owned());
                ensure!(
                    !is_done && code.as_deref() == Some("55000"),
                    "{from}: {error:?}"
                );
            }
        }
    }
    assert_eq!(number(&mut room.stage.client, percentage)?, 90);
    Ok(())
}

impl Room {
    fn messages(&self) -> Vec<Message> {
        self.stage.slack.messages(&self.production_channel)
    }

    /// Waits for a message with words after the first ones.
    fn next(&self, after: usize) -> Result<Message> {
        let begun = Instant::now();
        loop {
            let mut new = self.messages().into_iter().skip(after);
            if let Some(message) = new.find(|message| !message.text.is_empty()) {
                return Ok(message);
            }
            ensure!(begun.elapsed() < PATIENCE, "{}", self.stage.sidecar.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// The whole answer to Ada.
    fn answer(&self, text: &str) -> Result<Value> {
        let before = self.messages().len();
        let origin = self.origin(&self.ada, &self.production_channel);
        let message = command(&self.stage.caller, &origin, text)?;
        match message["text"] == LATER {
            true => Ok(self.next(before)?.sent),
            false => Ok(message),
        }
    }

    /// What a user reads after a click on a button, which is gone then.
    fn click(&self, user: &User, button: &Value) -> Result<String> {
        let before = self.messages().len();
        let origin = self.origin(user, &self.production_channel);
        let action = json!([{ "type": "button", "action_id": button["action_id"], "block_id": "b", "value": button["value"], "action_ts": "1700000000.1" }]);
        let payload = block_actions(&self.stage.slack.app(), &origin, None, &action);
        let reply = self.stage.caller.interaction(INTERACTIONS, &payload)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        let text = self.next(before)?.text;
        let gone = &self.messages()[before].sent["delete_original"];
        ensure!(*gone == json!(true), "the button is still there");
        Ok(text)
    }
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
