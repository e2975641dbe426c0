//! Conditions of a subscription: those of an integration's routes, for its one channel.

use anyhow::Result;
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::filter::push;
use crate::notification::publish::event;
use crate::subscription::{text, world};
use crate::surface::refusal::refused;

fn follow(client: &mut Client, events: &str, routes: &str) -> Result<()> {
    client.batch_execute(&format!(
        "select lockstep.subscribe_slack_channel(1, 'F', '#f', {events}, {routes})"
    ))?;
    Ok(())
}

/// What becomes of an event: in advance and in fact.
fn outcome(client: &mut Client, event: &Value) -> Result<String> {
    let ask = |client: &mut Client, function: &str, condition: &str| {
        let query = format!(
            "select string_agg(outcome, ',') from lockstep.{function}($1::text::jsonb) where subscription_id is not null {condition}"
        );
        let row = client.query_one(&query, &[&event.to_string()])?;
        Ok::<String, anyhow::Error>(row.get::<_, Option<String>>(0).unwrap_or_default())
    };
    let explained = ask(client, "explain_event", "and route is null")?;
    let published = ask(client, "publish_event", "")?;
    assert_eq!(explained, published, "{event}");
    Ok(published)
}

fn request(labels: &[&str], draft: bool) -> Value {
    let labels: Vec<Value> = labels.iter().map(|it| json!({"title": it})).collect();
    let attributes = json!({"action": "open", "draft": draft, "target_branch": "main"});
    event(
        "merge_request",
        1,
        json!({"object_attributes": attributes, "labels": labels}),
    )
}

#[test]
fn an_event_that_routes_are_for_takes_one_of_them() -> Result<()> {
    let mut client = world("subscription_routes")?;
    let release = || event("release", 1, json!({"action": "create", "tag": "v1"}));
    for (events, routes, event, expected) in [
        // For all events of the subscription; other branches than the default, too.
        (
            "null",
            r#"[{"branches": ["release/*"]}]"#,
            push("refs/heads/release/1"),
            "queued",
        ),
        (
            "null",
            r#"[{"branches": ["release/*"]}]"#,
            push("refs/heads/main"),
            "no_route",
        ),
        (
            "null",
            r#"[{"branches": "main"}]"#,
            request(&[], false),
            "queued",
        ),
        ("null", r#"[{"branches": "main"}]"#, release(), "event_off"),
        // Each event by its own: what no route is for is as without routes.
        (
            "'{push,merge_request}'",
            r#"[{"events": "merge_request", "labels": "~bug"}]"#,
            push("refs/heads/main"),
            "queued",
        ),
        (
            "'{push,merge_request}'",
            r#"[{"events": "merge_request", "labels": "~bug"}]"#,
            push("refs/heads/x"),
            "branch",
        ),
        (
            "'{push,merge_request}'",
            r#"[{"events": "merge_request", "labels": "~bug"}]"#,
            request(&["bug"], false),
            "queued",
        ),
        (
            "'{push,merge_request}'",
            r#"[{"events": "merge_request", "labels": "~bug"}]"#,
            request(&["docs"], false),
            "no_route",
        ),
        // One of several is enough, and an event that only a route names is wanted if it fits.
        (
            "null",
            r#"[{"events": "merge_request", "labels": "bug"}, {"events": "merge_request", "drafts": false}]"#,
            request(&[], false),
            "queued",
        ),
        (
            "null",
            r#"[{"events": "merge_request", "labels": "bug"}, {"events": "merge_request", "drafts": false}]"#,
            request(&[], true),
            "no_route",
        ),
        (
            "'{push}'",
            r#"[{"events": "release", "tags": true}]"#,
            release(),
            "queued",
        ),
        (
            "'{push}'",
            r#"[{"events": "release", "tags": false}]"#,
            release(),
            "no_route",
        ),
        // None again.
        ("null", "[]", request(&[], true), "event_off"),
        ("'{}'", "null", request(&[], true), "queued"),
    ] {
        let routes = match routes {
            "null" => routes.to_owned(),
            routes => format!("'{routes}'"),
        };
        follow(&mut client, events, &routes)?;
        assert_eq!(
            outcome(&mut client, &event)?,
            expected,
            "{events} {routes} {event}"
        );
    }
    Ok(())
}

#[test]
fn conditions_are_shown_and_explained() -> Result<()> {
    let mut client = world("subscription_route_shown")?;
    follow(
        &mut client,
        "'{push}'",
        r#"'[{"events": "release", "tags": true}, {"branches": "main"}]'"#,
    )?;
    // What is left out stays.
    follow(&mut client, "'{push,issue}'", "null")?;
    follow(&mut client, "null", r#"'[{"branches": ["main", "x*"]}]'"#)?;
    follow(&mut client, "null", r#"'[{"branches": "main,x*"}]'"#)?;
    let shown = "select concat_ws(' ', events, routes) from lockstep.slack_subscriptions()";
    assert_eq!(
        text(&mut client, shown)?,
        r#"{push,issue} [{"branches": ["main", "x*"]}]"#
    );
    let recorded = "select string_agg(concat_ws(' ', change, events, routes), '; ' order by id) from lockstep.slack_subscription_audit";
    assert_eq!(
        text(&mut client, recorded)?,
        r#"subscribed {push} [{"tags": true, "events": ["release"]}, {"branches": ["main"]}]; "#
            .to_owned()
            + r#"changed {push,issue} [{"tags": true, "events": ["release"]}, {"branches": ["main"]}]; "#
            + r#"changed {push,issue} [{"branches": ["main", "x*"]}]"#
    );
    let explain = format!(
        "select string_agg(concat_ws(' ', route, channels, outcome), '; ' order by route) from lockstep.explain_event('{}')
          where subscription_id is not null",
        push("refs/heads/y")
    );
    assert_eq!(text(&mut client, &explain)?, "1 {#f} branches; {} branch");
    Ok(())
}

/// A Slack user gives them as well, and sees them.
#[test]
fn users_give_conditions() -> Result<()> {
    let mut client = world("subscription_route_user")?;
    let subscribe = |routes: &str| {
        format!(
            "select concat_ws(' ', array_length(events, 1), routes, outcome)
               from lockstep_api.subscribe_slack_project('F', null, 'U3', 'group-1/p1', '#f', '{{push}}', {routes})"
        )
    };
    assert_eq!(
        text(&mut client, &subscribe(r#"'[{"branches": "main"}]'"#))?,
        r#"1 [{"branches": ["main"]}] subscribed"#
    );
    assert_eq!(text(&mut client, &subscribe("'[]'"))?, "1 [] changed");
    assert_eq!(text(&mut client, &subscribe("null"))?, "1 [] unchanged");
    Ok(())
}

#[test]
fn what_is_no_condition_is_an_error() -> Result<()> {
    let mut client = world("subscription_route_wrong")?;
    for (routes, message) in [
        (r#"{"branches": "main"}"#, "not a list"),
        (r#"["main"]"#, "not an object"),
        (
            r##"[{"channels": "#g", "branches": "main"}]"##,
            "routes[0].channels",
        ),
        (
            r#"[{"branches": "main"}, {"branch": "main"}]"#,
            "routes[1].branch",
        ),
        (r#"[{"events": "group_mention"}]"#, "group_mention"),
        (r#"[{"events": "nothing"}]"#, "nothing"),
        (r#"[{"drafts": "no"}]"#, "drafts"),
    ] {
        for call in [
            format!("lockstep.subscribe_slack_channel(1, 'F', '#f', null, '{routes}')"),
            format!(
                "lockstep_api.subscribe_slack_project('F', null, 'U3', 'group-1/p1', '#f', null, '{routes}')"
            ),
        ] {
            refused(&mut client, &format!("select {call}"), "22023", message)?;
        }
    }
    Ok(())
}

/// As after a downgrade, or with rows from a newer version.
#[test]
fn conditions_that_are_not_known_let_nothing_pass() -> Result<()> {
    let mut client = world("subscription_unknown_route")?;
    follow(&mut client, "'{push}'", "null")?;
    assert_eq!(outcome(&mut client, &push("refs/heads/main"))?, "queued");
    for routes in [r#"[{"moons": ["full"]}]"#, r#"[{"branches": 7}]"#, "{}"] {
        let store = "update lockstep_internal.slack_subscription set routes = $1::text::jsonb";
        client.execute(store, &[&routes])?;
        let outcome = outcome(&mut client, &push("refs/heads/main"))?;
        assert_ne!(outcome, "queued", "{routes}");
    }
    Ok(())
}
