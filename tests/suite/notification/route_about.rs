//! What a route's condition is about: branches of the project and no fork's, tags, events of the kinds that have what it asks for.

use anyhow::Result;
use lockstep_tests::host;
use serde_json::{Value, json};

use crate::notification::filter::{pipeline, set};
use crate::notification::publish::{event, told};
use crate::notification::route::explained;

/// Whoever works in a fork's branch reports into no channel for the project's.
#[test]
fn a_branch_of_a_fork_is_another_one() -> Result<()> {
    let mut client = told("route_fork")?;
    let failed = |from: i64| {
        let mut pipeline = pipeline(1, "main", "failed");
        pipeline["object_attributes"]["source"] = json!("merge_request_event");
        pipeline["merge_request"] = json!({"iid": 3, "source_project_id": from, "source_branch": "main", "target_branch": "x"});
        pipeline
    };
    for (patterns, from, verdict) in [
        ("main", 1, "taken"),
        ("main", 99, "branches"),
        ("m*", 99, "branches"),
        ("*", 99, "taken"),
    ] {
        set(
            &mut client,
            json!({"routes": [{"branches": patterns, "channels": "#r"}]}),
        )?;
        let found = explained(&mut client, &failed(from))?;
        assert_eq!(found[0], format!("1 #r {verdict}"), "{patterns} {from}");
    }
    Ok(())
}

/// GitLab's event has the name of what was deployed, which may be a tag's.
#[test]
fn a_deployed_tag_is_a_tag() -> Result<()> {
    let mut client = told("route_deployed")?;
    host::run(&mut client, host::DEPLOYMENTS)?;
    client.batch_execute(
        "insert into environments (id, project_id, name, slug) values (1, 1, 'production', 'production');
         insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status) values
           (1, 1, 1, 1, 'v1', true, 'a', 2), (2, 2, 1, 1, 'v1', false, 'a', 2)",
    )?;
    let deployed = |id: i64| {
        event(
            "deployment",
            1,
            json!({"status": "success", "environment": "production", "deployment_id": id, "ref": "v1"}),
        )
    };
    set(
        &mut client,
        json!({"branches": "default", "routes": [{"tags": true, "channels": "#tags"}]}),
    )?;
    for (id, expected) in [
        (1, ["1 #tags taken", "#tags queued"]),
        (2, ["1 #tags tags", "branch"]),
        // Another project's.
        (3, ["1 #tags tags", "branch"]),
    ] {
        assert_eq!(explained(&mut client, &deployed(id))?, expected, "{id}");
    }
    set(&mut client, json!({"branches": "default", "routes": []}))?;
    assert_eq!(explained(&mut client, &deployed(1))?, ["#c queued"]);
    Ok(())
}

#[test]
fn an_event_that_a_route_names_is_on() -> Result<()> {
    let mut client = told("route_named")?;
    let job = event(
        "build",
        1,
        json!({"build_status": "failed", "ref": "main", "build_id": 1, "project_id": 1}),
    );
    for (events, outcome) in [("job", "no_route"), ("push", "event_off")] {
        set(
            &mut client,
            json!({"routes": [{"events": events, "branches": "x", "channels": "#r"}]}),
        )?;
        let found = explained(&mut client, &job)?;
        assert_eq!(found.last().map(String::as_str), Some(outcome), "{events}");
    }
    Ok(())
}

/// As in GitLab's search.
#[test]
fn a_label_with_a_minus_is_left_out() -> Result<()> {
    let mut client = told("route_minus")?;
    set(
        &mut client,
        json!({"routes": [{"labels": "a, -~b, -c", "without_labels": "d", "channels": "#r"}]}),
    )?;
    let routes: String = client
        .query_one(
            "select lockstep.slack_notifications(1) -> 'routes' ->> 0",
            &[],
        )?
        .get(0);
    let route: Value = serde_json::from_str(&routes)?;
    assert_eq!(route["labels"], json!(["a"]));
    assert_eq!(route["without_labels"], json!(["b", "c", "d"]));
    Ok(())
}

#[test]
fn an_issue_that_is_no_incident_has_no_severity() -> Result<()> {
    let mut client = told("route_severity")?;
    set(
        &mut client,
        json!({"routes": [{"severities": "*", "channels": "#r"}]}),
    )?;
    let issue = |kind: &str| {
        event(
            "issue",
            1,
            json!({"object_attributes": {"action": "open", "severity": "unknown", "type": kind}}),
        )
    };
    assert_eq!(
        explained(&mut client, &issue("Issue"))?[0],
        "1 #r severities"
    );
    assert_eq!(explained(&mut client, &issue("Incident"))?[0], "1 #r taken");
    Ok(())
}

/// A flag that nobody can tell is not off.
#[test]
fn a_flag_with_an_expression_alone_is_not_known() -> Result<()> {
    let mut client = told("route_expression")?;
    client.batch_execute(
        "insert into features (key, created_at, updated_at) values ('integration_slack_app_notifications', now(), now());
         insert into feature_gates (feature_key, key, value, created_at, updated_at)
         values ('integration_slack_app_notifications', 'expression', '{\"Equal\": [1, 2]}', now(), now())",
    )?;
    let push = event("push", 1, json!({"ref": "refs/heads/main"}));
    assert_eq!(explained(&mut client, &push)?, ["feature_unknown"]);
    // Neither is one whose group cannot be asked, and the events of others are published.
    client.batch_execute(
        "delete from feature_gates;
         create function broken(actor text) returns boolean language sql as 'select 1 / (length(actor) - length(actor)) = 1';
         select lockstep.register_feature_group('broken', 'broken(text)');
         select lockstep.enable_feature_for_group('integration_slack_app_notifications', 'broken')",
    )?;
    assert_eq!(explained(&mut client, &push)?, ["feature_unknown"]);
    Ok(())
}
