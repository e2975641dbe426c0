//! Routes: where events go that fulfil conditions, and why they do not.

use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::batch::DELIVERIES;
use crate::notification::filter::{pipeline, push, set};
use crate::notification::publish::{event, publish, told};
use crate::service_account::number;
use crate::surface::refusal::refused;

fn merge_request(more: Value) -> Value {
    let mut attributes = json!({"action": "open", "target_branch": "main", "draft": false});
    if let (Some(all), Some(more)) = (attributes.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    event("merge_request", 1, json!({"object_attributes": attributes}))
}

fn by(mut event: Value, name: &str) -> Value {
    event["user"] = json!({"id": 1, "username": name});
    event
}

fn labeled(mut event: Value, titles: &[&str]) -> Value {
    event["labels"] = titles.iter().map(|title| json!({"title": title})).collect();
    event
}

/// One row for each route and one for the integration: the route, its channels, the outcome.
pub(super) fn explained(client: &mut Client, event: &Value) -> Result<Vec<String>> {
    let rows = client.query(
        "select concat_ws(' ', route, nullif(array_to_string(channels, ','), ''), outcome) from lockstep.explain_event($1::text::jsonb)",
        &[&event.to_string()],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Each condition, with an event that fulfils it, and one that does not.
#[test]
fn each_condition_decides() -> Result<()> {
    let mut client = told("route_condition")?;
    let changed = |paths: &[&str]| {
        let mut push = push("refs/heads/main");
        push["commits"] = json!([{"id": "1", "added": [], "modified": paths}]);
        push
    };
    let child = |source: &str| {
        let mut pipeline = pipeline(1, "main", "failed");
        pipeline["object_attributes"]["source"] = json!(source);
        pipeline
    };
    let deployment = |to: &str| {
        event(
            "deployment",
            1,
            json!({"status": "success", "environment": to}),
        )
    };
    let alert = |severity: &str| {
        event(
            "alert",
            1,
            json!({"object_attributes": {"severity": severity}}),
        )
    };
    let tag = event("tag_push", 1, json!({"ref": "refs/tags/v1"}));
    let draft = merge_request(json!({"draft": true}));
    let issue = |titles: &[&str]| {
        labeled(
            event("issue", 1, json!({"object_attributes": {"action": "open"}})),
            titles,
        )
    };
    let cases = [
        (
            "events",
            json!(["push"]),
            push("refs/heads/main"),
            tag.clone(),
        ),
        (
            "branches",
            json!(["release/*", "main"]),
            push("refs/heads/release/1/2"),
            push("refs/heads/releases"),
        ),
        (
            "branches",
            json!(["main"]),
            merge_request(json!({})),
            merge_request(json!({"target_branch": "topic"})),
        ),
        ("branches", json!(["*"]), push("refs/heads/x"), tag.clone()),
        (
            "labels",
            json!("~bug, urgent"),
            issue(&["x", "bug"]),
            issue(&["Bug"]),
        ),
        (
            "labels",
            json!(["bug"]),
            issue(&["bug"]),
            push("refs/heads/main"),
        ),
        (
            "without_labels",
            json!("~bug"),
            issue(&["x"]),
            issue(&["x", "bug"]),
        ),
        (
            "authors",
            json!("@Ada"),
            by(push("refs/heads/main"), "ada"),
            by(push("refs/heads/main"), "bob"),
        ),
        (
            "without_authors",
            json!(["bot"]),
            push("refs/heads/main"),
            by(push("refs/heads/main"), "Bot"),
        ),
        (
            "paths",
            json!("docs/*, *.md"),
            changed(&["src/lib.rs", "docs/a/b.txt"]),
            changed(&["src/docs/a.txt"]),
        ),
        (
            "drafts",
            json!(true),
            draft.clone(),
            merge_request(json!({})),
        ),
        ("drafts", json!(false), merge_request(json!({})), draft),
        ("tags", json!(true), tag.clone(), push("refs/heads/main")),
        ("tags", json!(false), push("refs/heads/main"), tag),
        (
            "child_pipelines",
            json!(true),
            child("parent_pipeline"),
            child("push"),
        ),
        (
            "child_pipelines",
            json!(false),
            child("push"),
            child("parent_pipeline"),
        ),
        (
            "environments",
            json!("prod*"),
            deployment("production"),
            deployment("staging"),
        ),
        (
            "severities",
            json!("critical"),
            alert("critical"),
            alert("low"),
        ),
    ];
    for (condition, value, fits, other) in cases {
        client.batch_execute("delete from lockstep_internal.pipeline_status")?;
        let routes = json!([{"channels": "#r", condition: value}]);
        set(
            &mut client,
            json!({"channels": null, "branches": "all", "routes": routes}),
        )?;
        assert_eq!(
            explained(&mut client, &fits)?,
            ["1 #r taken".to_owned(), "#r queued".to_owned()],
            "{condition} {value}: {fits}"
        );
        let found = explained(&mut client, &other)?;
        let not = format!("1 #r {condition}");
        ensure!(
            found.first() == Some(&not),
            "{condition} {value}: {found:?}"
        );
        ensure!(
            found.len() == 2 && !found[1].contains("queued"),
            "{found:?}"
        );
        // What is said is done.
        let told = publish(&mut client, &other)?;
        ensure!(told[0].2.is_empty(), "{condition} {value}: {told:?}");
        assert_eq!(publish(&mut client, &fits)?[0].2, ["#r"], "{condition}");
    }
    Ok(())
}

#[test]
fn the_first_route_counts_or_all() -> Result<()> {
    let mut client = told("route_all")?;
    let routes = json!([
        {"channels": ["#ada", "#x"], "authors": ["ada"]},
        {"channels": ["#main", "#x"], "branches": ["main"]},
    ]);
    let settings =
        json!({"channels": "#c", "branches": "all", "muted_authors": "eve", "routes": routes});
    let (ada, bob) = (
        by(push("refs/heads/main"), "ada"),
        by(push("refs/heads/main"), "bob"),
    );
    let (topic, eve) = (
        by(push("refs/heads/t"), "bob"),
        by(push("refs/heads/main"), "eve"),
    );
    let cases: [(bool, &Value, &[&str]); 8] = [
        (
            false,
            &ada,
            &["1 #ada,#x taken", "2 #main,#x passed", "#ada,#x queued"],
        ),
        (
            false,
            &bob,
            &["1 #ada,#x authors", "2 #main,#x taken", "#main,#x queued"],
        ),
        (
            false,
            &topic,
            &["1 #ada,#x authors", "2 #main,#x branches", "#c queued"],
        ),
        (
            false,
            &eve,
            &["1 #ada,#x authors", "2 #main,#x taken", "author"],
        ),
        (
            true,
            &ada,
            &[
                "1 #ada,#x taken",
                "2 #main,#x taken",
                "#ada,#x,#main,#c queued",
            ],
        ),
        (
            true,
            &bob,
            &[
                "1 #ada,#x authors",
                "2 #main,#x taken",
                "#main,#x,#c queued",
            ],
        ),
        (
            true,
            &topic,
            &["1 #ada,#x authors", "2 #main,#x branches", "#c queued"],
        ),
        (
            true,
            &eve,
            &["1 #ada,#x authors", "2 #main,#x taken", "author"],
        ),
    ];
    set(&mut client, settings)?;
    for (all, event, expected) in cases {
        set(&mut client, json!({"all_routes": all}))?;
        assert_eq!(explained(&mut client, event)?, expected, "all: {all}");
    }
    // The other settings keep back what takes no route, each for its reason.
    set(
        &mut client,
        json!({"all_routes": false, "branches": "default"}),
    )?;
    assert_eq!(
        explained(&mut client, &topic)?.last().map(String::as_str),
        Some("branch")
    );
    set(&mut client, json!({"branches": "all", "channels": null}))?;
    assert_eq!(
        explained(&mut client, &topic)?.last().map(String::as_str),
        Some("no_route")
    );
    // Nothing was published.
    assert_eq!(number(&mut client, DELIVERIES)?, 0);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.event")?,
        0
    );
    Ok(())
}

/// A pipeline is compared with the state of its branch, which stays.
#[test]
fn explaining_a_pipeline_changes_nothing() -> Result<()> {
    let mut client = told("route_pipeline")?;
    set(
        &mut client,
        json!({"only_changed_pipelines": true, "only_broken_pipelines": false}),
    )?;
    let failed = |id: i64| pipeline(id, "main", "failed");
    for _ in 0..2 {
        assert_eq!(explained(&mut client, &failed(1))?, ["#c queued"]);
    }
    publish(&mut client, &failed(1))?;
    assert_eq!(explained(&mut client, &failed(1))?, ["repeated"]);
    assert_eq!(explained(&mut client, &failed(2))?, ["pipeline_status"]);
    assert_eq!(
        explained(&mut client, &pipeline(3, "main", "success"))?,
        ["#c queued"]
    );
    Ok(())
}

/// A route takes confidential events only if it names them. An incident is one by what the event says.
#[test]
fn confidential_events_take_no_other_route() -> Result<()> {
    let mut client = told("route_confidential")?;
    let opened =
        |object, attributes: Value| event(object, 1, json!({"object_attributes": attributes}));
    let issue = json!({"confidential": true});
    let incident = json!({"confidential": true, "type": "Incident"});
    let mut by_event_type = opened("work_item", json!({"work_item_type": "incident"}));
    by_event_type["event_type"] = json!("confidential_work_item");
    let taken = ["1 #r taken", "#r queued"];
    let not = ["1 #r events", "#c queued"];
    for (name, secret) in [
        ("confidential_issue", opened("issue", issue.clone())),
        ("incident", opened("issue", incident.clone())),
        ("incident", opened("work_item", incident)),
        ("incident", opened("incident", issue)),
        ("incident", by_event_type),
    ] {
        let of_others = (json!(["issue"]), not);
        for (events, expected) in [(json!(null), not), of_others, (json!([name]), taken)] {
            let route = json!({"channels": "#r", "events": events});
            set(&mut client, json!({"routes": [route]}))?;
            let told = explained(&mut client, &secret)?;
            assert_eq!(told, expected, "{events} {secret}");
        }
    }
    let public = opened("issue", json!({"confidential": false, "type": "Incident"}));
    set(&mut client, json!({"routes": [{"channels": "#r"}]}))?;
    assert_eq!(explained(&mut client, &public)?, taken);
    Ok(())
}

#[test]
fn wrong_routes_are_refused() -> Result<()> {
    let mut client = told("route_wrong")?;
    let many: Vec<Value> = (0..51).map(|_| json!({"channels": "#c"})).collect();
    for (routes, says) in [
        (json!({}), "setting \"routes\" is not a list"),
        (json!(["#c"]), "setting \"routes[0]\" is not an object"),
        (
            json!([{"channels": "#c"}, {"events": "push"}]),
            "setting \"routes[1]\" has no channels",
        ),
        (
            json!([{"channels": "#c", "events": "pushes"}]),
            "setting \"routes[0].events\" has \"pushes\", which is not an event",
        ),
        (
            json!([{"channels": "#c", "drafts": "no"}]),
            "setting \"routes[0].drafts\" is not a boolean",
        ),
        (
            json!([{"channels": "#c", "branch": "main"}]),
            "setting \"routes[0].branch\" is not part of a route",
        ),
        (
            json!([{"channels": "#c", "paths": 1}]),
            "setting \"routes[0].paths\" is neither a list nor a text",
        ),
        (
            json!([{"channels": "a b"}]),
            "setting \"routes[0].channels\" has",
        ),
        (json!(many), "setting \"routes\" has more than 50 routes"),
    ] {
        let settings = json!({"routes": routes}).to_string();
        refused(
            &mut client,
            &format!("select lockstep.set_slack_notifications(1, '{settings}')"),
            "22023",
            says,
        )?;
    }
    let labels = "select lockstep.set_slack_notifications(1, '{\"labels\": \"~a, -~b\"}')";
    refused(
        &mut client,
        labels,
        "22023",
        "a route leaves labels out, by without_labels",
    )?;
    Ok(())
}
