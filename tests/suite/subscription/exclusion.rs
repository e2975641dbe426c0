//! Random subscriptions and random events: a channel gets nothing that its events and conditions exclude.
//!
//! LOCKSTEP_SEED=... repeats the choices of a run. What fails is made as small as it still fails.

use std::cell::{Cell, RefCell};
use std::io::{Write, stderr};

use anyhow::{Result, anyhow, ensure};
use postgres::Client;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::Strategy;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use crate::notification::exclusion::random::{
    KINDS, Seen, any_event, any_route, has, runner, some,
};
use crate::random::seed;
use crate::subscription::world;

const ROUNDS: u32 = 400;
const EVENTS_PER_ROUND: usize = 4;

/// Of these kinds, those that a subscription without a choice has.
const DEFAULT: [&str; 4] = ["push", "tag_push", "issue", "merge_request"];

/// Events, null for the default, and routes without channels.
fn any_subscription() -> impl Strategy<Value = (Value, Value)> {
    let without_channels = |mut route: Value| {
        if let Some(route) = route.as_object_mut() {
            route.remove("channels");
        }
        route
    };
    let routes = vec(any_route().prop_map(without_channels), 0..4).prop_map(Value::from);
    (weighted(0.5, some(&KINDS)), routes)
        .prop_map(|(events, routes)| (events.unwrap_or(json!([])), routes))
}

/// Why the channel must not get the event, if so.
fn excluded(events: &Value, routes: &Value, seen: &Seen, event: &Value) -> Option<&'static str> {
    if event["object_attributes"]["action"] == "update" {
        return Some("it is a mere update");
    }
    let events = match events.as_array().is_some_and(Vec::is_empty) {
        true => json!(DEFAULT),
        false => events.clone(),
    };
    let mut is_any = false;
    for route in routes.as_array().into_iter().flatten() {
        let mut route = route.clone();
        if route["events"].is_null() {
            route["events"] = events.clone();
        }
        if has(&route["events"], seen.kind) {
            is_any = true;
            if !seen.excluded_from(&route) {
                return None;
            }
        }
    }
    if is_any {
        return Some("it takes none of the routes that are for it");
    }
    if !has(&events, seen.kind) {
        return Some("it is none of the events");
    }
    (seen.kind == "push" && seen.branch != Some("main")).then_some("it is of another branch")
}

/// Checks what becomes of an event; returns whether the channel gets it.
fn check(
    client: &mut Client,
    (events, routes): &(Value, Value),
    kind: &str,
    event: &Value,
) -> Result<bool> {
    let row = client.query_one(
        "select outcome from lockstep.explain_event($1::text::jsonb) where subscription_id is not null and route is null",
        &[&event.to_string()],
    )?;
    let is_told = row.get::<_, &str>(0) == "queued";
    let why = excluded(events, routes, &Seen::of(kind, event), event);
    ensure!(
        is_told == why.is_none(),
        "told: {is_told}, although excluded: {why:?}"
    );
    Ok(is_told)
}

#[test]
fn no_subscription_notifies_anybody_excluded() -> Result<()> {
    let seed = seed()?;
    writeln!(stderr(), "subscription: LOCKSTEP_SEED={seed}")?;
    let mut client = world("subscription_excluded")?;
    client.batch_execute("update integrations set active = false")?;
    let client = RefCell::new(client);
    let told = Cell::new(0);
    let round = |choice: &(Value, Value), events: &[(&str, Value)]| -> Result<()> {
        let client = &mut *client.borrow_mut();
        client.execute(
            "select lockstep.subscribe_slack_channel(1, 'F', '#f', array(select jsonb_array_elements_text($1::text::jsonb)), $2::text::jsonb)",
            &[&choice.0.to_string(), &choice.1.to_string()],
        )?;
        for (kind, event) in events {
            told.set(told.get() + u32::from(check(client, choice, kind, event)?));
        }
        Ok(())
    };
    let events = vec(any_event(), 1..=EVENTS_PER_ROUND);
    runner(ROUNDS, seed)
        .run(&(any_subscription(), events), |(choice, events)| {
            round(&choice, &events).map_err(|error| TestCaseError::fail(format!("{error:#}")))
        })
        .map_err(|error| anyhow!("LOCKSTEP_SEED={seed}: {error}"))?;
    // Otherwise it would prove nothing.
    let told = told.get();
    ensure!(told > ROUNDS / 2, "only {told} were told");
    Ok(())
}
