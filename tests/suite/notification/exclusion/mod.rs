//! Random settings and random events: nobody is notified whom a setting, a condition of a route or a person's choice excludes, by
//! whatever way the event goes. What is allowed is worked out here for each channel by itself, not route by route.
//!
//! LOCKSTEP_SEED=... repeats the choices of a run. What fails is made as small as it still fails.

pub(crate) mod random;

use std::cell::{Cell, RefCell};
use std::io::{Write, stderr};

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::host;
use postgres::Client;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use serde_json::{Map, Value, json};

use crate::notification::filter::set;
use crate::notification::publish::told;
use crate::random::seed;

use random::{CHANNELS, KINDS, LABELS, NAMES, Seen, any_event, any_route, has, runner, some};

const ROUNDS: u32 = 400;
const EVENTS_PER_ROUND: usize = 4;

/// Ada (3), Bob (4) and Cem (5) in Slack; Cem is no member.
const PEOPLE: &str = "
insert into users (id, username, organization_id) values (3, 'ada', 1), (4, 'bob', 1), (5, 'cem', 1);
insert into chat_names (user_id, team_id, chat_id) values (3, 'A', 'U3'), (4, 'A', 'U4'), (5, 'A', 'U5');
insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Namespace', 3), (10, 1, 'Project', 4)";

fn any_settings() -> impl Strategy<Value = Value> {
    let settings = (
        some(&["#a", "#b"]),
        vec(weighted(1.0 / 6.0, select(&CHANNELS)), KINDS.len()),
        vec(any_route(), 0..4),
        any::<bool>(),
        weighted(0.5, some(&LABELS)),
        select(&["all", "default"]),
        any::<bool>(),
        weighted(0.25, select(&NAMES)),
        weighted(2.0 / 3.0, Just(())),
        some(&["assignees", "labels"]),
    );
    settings.prop_map(
        |(
            channels,
            of_kinds,
            routes,
            all_routes,
            labels,
            branches,
            own_actions,
            muted,
            mentions,
            changes,
        )| {
            let by_event = KINDS.iter().zip(of_kinds);
            let by_event = by_event.filter_map(|(kind, to)| Some(((*kind).to_owned(), json!([to?]))));
            json!({
                "channels": channels, "event_channels": by_event.collect::<Map<_, _>>(), "routes": routes, "all_routes": all_routes,
                "labels": labels.unwrap_or(json!([])), "branches": branches, "own_actions": own_actions,
                "muted_authors": muted.into_iter().collect::<Vec<_>>(), "mentions": mentions.is_some(), "changes": changes,
            })
        },
    )
}

/// What people have chosen: their ids, whether they want mentions and direct messages.
fn any_choices() -> impl Strategy<Value = Value> {
    vec(any::<(bool, bool, bool)>(), 3).prop_map(|choices| {
        let people = ["U3", "U4", "U5"].into_iter().zip(choices);
        let people = people.map(|(user, (mentions, direct_messages, own_actions))| {
            let choice = json!({"mentions": mentions, "direct_messages": direct_messages, "own_actions": own_actions});
            (user.to_owned(), choice)
        });
        Value::from(people.collect::<Map<_, _>>())
    })
}

/// Why that channel must not be notified of the event, if so.
fn excluded(settings: &Value, seen: &Seen, event: &Value, channel: &str) -> Option<&'static str> {
    if has(&settings["muted_authors"], seen.author) {
        return Some("the author is muted");
    }
    if settings["own_actions"] == false && seen.author == "ada" && channel == "U3" {
        return Some("it is the reader's own action");
    }
    let changes = event["changes"].as_object().into_iter().flatten();
    if event["object_attributes"]["action"] == "update"
        && !changes
            .into_iter()
            .any(|(change, _)| has(&settings["changes"], change))
    {
        return Some("it is a mere update");
    }
    let routes = settings["routes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut fitting = routes.iter().filter(|route| !seen.excluded_from(route));
    let is_of = |route: &Value| has(&route["channels"], channel);
    let is_all = settings["all_routes"] == true;
    let first = fitting.next();
    let is_routed = first.is_some_and(is_of) || is_all && fitting.any(is_of);
    let is_left = first.is_none() || is_all;
    if is_routed || is_left && !seen.excluded_by(settings, channel) {
        return None;
    }
    Some("neither a route nor the settings send it there")
}

fn choose(client: &mut Client, choices: &Value) -> Result<()> {
    for (user, choice) in choices.as_object().into_iter().flatten() {
        let set = "select lockstep_api.set_slack_person('A', null, $1, $2::text::jsonb)";
        client.execute(set, &[user, &choice.to_string()])?;
    }
    Ok(())
}

/// Checks what becomes of an event; returns how many are notified.
fn check(
    client: &mut Client,
    settings: &Value,
    choices: &Value,
    kind: &str,
    event: &Value,
) -> Result<usize> {
    let rows = client.query(
        "select user_id, channels, outcome from lockstep.explain_event($1::text::jsonb) where route is null",
        &[&event.to_string()],
    )?;
    let seen = Seen::of(kind, event);
    let mut notified = 0;
    for row in rows {
        let (user, channels): (Option<i64>, Vec<String>) = (row.get(0), row.get(1));
        let outcome: String = row.get(2);
        let Some(user) = user else {
            for channel in &channels {
                let why = excluded(settings, &seen, event, channel);
                ensure!(
                    why.is_none(),
                    "{channel} is notified although {}",
                    why.unwrap_or_default()
                );
            }
            notified += channels.len();
            continue;
        };
        let choice = &choices[format!("U{user}")];
        let is_own = event["user"]["id"] == user && choice["own_actions"] == false;
        let is_message = !channels.is_empty();
        ensure!(
            settings["mentions"] == true,
            "{user} is mentioned although the project wants no mentions"
        );
        if outcome == "mentioned" || outcome == "queued" {
            ensure!(!is_own, "{user} is notified of what they did");
            let wish = if is_message {
                "direct_messages"
            } else {
                "mentions"
            };
            ensure!(choice[wish] == true, "{user} does not want {wish}");
            ensure!(!is_message || user != 5, "{user} has no access");
            notified += 1;
        }
    }
    Ok(notified)
}

#[test]
fn no_route_notifies_anybody_excluded() -> Result<()> {
    let seed = seed()?;
    writeln!(stderr(), "excluded: LOCKSTEP_SEED={seed}")?;
    let mut client = told("notification_excluded")?;
    host::run(&mut client, host::MEMBERS)?;
    client.batch_execute(PEOPLE)?;
    let client = RefCell::new(client);
    let notified = Cell::new(0);
    let round = |settings: &Value, choices: &Value, events: &[(&str, Value)]| -> Result<()> {
        let client = &mut *client.borrow_mut();
        client.batch_execute("delete from lockstep_internal.slack_notification")?;
        set(client, settings.clone())?;
        choose(client, choices)?;
        for (kind, event) in events {
            notified.set(notified.get() + check(client, settings, choices, kind, event)?);
        }
        Ok(())
    };
    let mut runner = runner(ROUNDS, seed);
    let events = vec(any_event(), 1..=EVENTS_PER_ROUND);
    runner
        .run(
            &(any_settings(), any_choices(), events),
            |(settings, choices, events)| {
                round(&settings, &choices, &events)
                    .map_err(|error| TestCaseError::fail(format!("{error:#}")))
            },
        )
        .map_err(|error| anyhow!("LOCKSTEP_SEED={seed}: {error}"))?;
    // Otherwise it would prove nothing.
    let notified = notified.get();
    ensure!(
        notified > ROUNDS as usize / 2,
        "only {notified} were notified"
    );
    Ok(())
}
