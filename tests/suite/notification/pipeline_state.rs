//! The state of a branch, a tag or a merge request, by its pipelines: a table of cases, as in the guide.

use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::filter::{pipeline, set};
use crate::notification::publish::{outcome, told};

/// A pipeline of main with other attributes.
fn run(id: i64, status: &str, attributes: Value) -> Value {
    let mut event = pipeline(id, "main", status);
    if let (Some(all), Some(more)) = (
        event["object_attributes"].as_object_mut(),
        attributes.as_object(),
    ) {
        all.extend(more.clone());
    }
    event
}

/// A pipeline of a merge request from that project's main.
fn request(id: i64, status: &str, iid: i64, source: Value) -> Value {
    let mut event = run(id, status, json!({"source": "merge_request_event"}));
    event["merge_request"] = json!({"iid": iid, "source_project_id": source});
    event
}

fn of_branch(mut request: Value, name: &str) -> Value {
    request["merge_request"]["source_branch"] = json!(name);
    request
}

fn branch(id: i64, status: &str) -> Value {
    run(id, status, json!({"source": "push"}))
}

fn child(id: i64, status: &str) -> Value {
    run(id, status, json!({"source": "parent_pipeline"}))
}

fn said(id: i64, status: &str, name: &str) -> Value {
    run(id, status, json!({"ref_status_name": name}))
}

/// Each case has the settings, and what happens with the outcome of each.
type Case = (&'static str, Value, Vec<(Value, &'static str)>);

fn cases() -> Vec<Case> {
    let changes =
        json!({"only_changed_pipelines": true, "only_broken_pipelines": false, "branches": "all"});
    let all = json!({"only_broken_pipelines": false});
    let failed = json!({});
    let same = "pipeline_status";
    vec![
        (
            "a child with a higher number ends before its parent",
            changes.clone(),
            vec![
                (branch(700, "success"), same),
                (child(711, "success"), "child_pipeline"),
                (branch(710, "failed"), "queued"),
                (child(712, "failed"), "child_pipeline"),
                (branch(713, "success"), "queued"),
            ],
        ),
        (
            "a child that fails is not main",
            failed.clone(),
            vec![
                (child(1, "failed"), "child_pipeline"),
                (branch(2, "failed"), "queued"),
            ],
        ),
        (
            "children that are asked for are sent, and are no state",
            json!({"child_pipelines": true}),
            vec![
                (child(1, "failed"), "queued"),
                (child(1, "failed"), "repeated"),
                (child(2, "success"), same),
                (child(3, "failed"), "queued"),
            ],
        ),
        (
            "children that are asked for change nothing",
            json!({"child_pipelines": true, "only_changed_pipelines": true}),
            vec![(child(1, "failed"), same), (branch(2, "failed"), "queued")],
        ),
        (
            "what GitLab does not count is no state",
            changes.clone(),
            vec![
                (
                    run(1, "failed", json!({"source": "ondemand_dast_scan"})),
                    same,
                ),
                (branch(2, "failed"), "queued"),
                (run(3, "success", json!({"source": "webide"})), same),
                (run(4, "success", json!({"source": "schedule"})), "queued"),
            ],
        ),
        (
            "a merge request of a fork is not main",
            failed.clone(),
            vec![
                (request(1, "failed", 5, json!(99)), "branch"),
                (request(2, "failed", 5, json!(null)), "branch"),
                (request(3, "failed", 6, json!(1)), "queued"),
                (
                    of_branch(request(4, "failed", 7, json!(1)), "topic"),
                    "branch",
                ),
                (
                    of_branch(request(5, "failed", 8, json!(1)), "main"),
                    "queued",
                ),
            ],
        ),
        (
            "a merge request has a state of its own",
            changes.clone(),
            vec![
                (branch(1, "success"), same),
                (request(2, "failed", 5, json!(99)), "queued"),
                (request(3, "failed", 5, json!(99)), same),
                (request(4, "failed", 6, json!(1)), "queued"),
                (branch(5, "success"), same),
                (request(6, "success", 5, json!(99)), "queued"),
                (branch(7, "failed"), "queued"),
            ],
        ),
        (
            "GitLab's word counts where it is sent",
            changes,
            vec![
                (said(1, "failed", "failed"), same),
                (said(2, "success", "success"), same),
                (said(3, "failed", "broken"), "queued"),
                (said(4, "failed", "still_failing"), same),
                (said(5, "success", "fixed"), "queued"),
                // Another pipeline of the branch has ended since.
                (said(6, "success", "broken"), same),
                (said(7, "failed", "a new word"), "queued"),
                (branch(8, "success"), "queued"),
            ],
        ),
        (
            "the same end counts once",
            all,
            vec![
                (branch(1, "failed"), "queued"),
                (branch(1, "failed"), "repeated"),
                (
                    run(
                        1,
                        "failed",
                        json!({"finished_at": "2026-01-01 10:00:00 UTC"}),
                    ),
                    "repeated",
                ),
                (branch(1, "success"), "queued"),
                (branch(1, "success"), "repeated"),
                (branch(1, "failed"), "queued"),
                (branch(2, "failed"), "queued"),
                (branch(2, "running"), same),
                (branch(2, "failed"), "repeated"),
            ],
        ),
    ]
}

#[test]
fn each_pipeline_changes_its_own_state() -> Result<()> {
    let mut client = told("pipeline_state")?;
    for (what, settings, events) in cases() {
        client.batch_execute(
            "delete from lockstep_internal.pipeline_status; select lockstep.reset_slack_notifications(1)",
        )?;
        set(&mut client, json!({"channels": "#c"}))?;
        set(&mut client, settings)?;
        for (place, (event, expected)) in (1..).zip(events) {
            let found = outcome(&mut client, &event)?;
            ensure!(
                found == expected,
                "{what}, {place}: {found}, not {expected}"
            );
        }
    }
    Ok(())
}

/// The protection of a branch says nothing about a branch of that name in a fork.
#[test]
fn a_branch_of_a_fork_is_not_protected() -> Result<()> {
    let mut client = told("pipeline_fork")?;
    set(&mut client, json!({"branches": "protected"}))?;
    for (source, expected) in [(99, "branch"), (1, "queued")] {
        let mut event = request(source, "failed", source, json!(source));
        event["object_attributes"]["protected_ref"] = json!(true);
        assert_eq!(outcome(&mut client, &event)?, expected, "{source}");
    }
    Ok(())
}

/// Keys and requests.
type Requests = &'static [(&'static str, &'static str)];

/// What a webhook sends in a batch: which request, and whether it counts.
#[test]
fn an_event_of_several_webhooks_counts_once() -> Result<()> {
    let mut client = told("notify_copies")?;
    let event = crate::notification::filter::push("refs/heads/main").to_string();
    let cases: [(Requests, &[i32]); 6] = [
        // A system hook and a project's, and GitLab tries again.
        (&[("k", "s 1"), ("k", "p 2"), ("k", "s 1")], &[1, 0, 0]),
        // The same happens again: by one webhook, later by the other one.
        (&[("k", "p 3")], &[1]),
        (&[("k", "s 4")], &[0]),
        (
            &[("k", "s 5"), ("k", "s 6"), ("k", "p 7"), ("k", "p 8")],
            &[1, 1, 0, 0],
        ),
        // Who replays a request cannot make it another webhook's.
        (&[("k", "x 3"), ("k", "y 8")], &[0, 0]),
        // Another content.
        (&[("l", "s 9"), ("l", "p 10"), ("l", "s 11")], &[1, 0, 1]),
    ];
    for (requests, expected) in cases {
        assert_eq!(
            requested(&mut client, &event, requests)?,
            expected,
            "{requests:?}"
        );
    }
    // From SQL there is no request: the key counts.
    let found = client.query(
        "select deliveries from lockstep_api.publish_events(array[$1, $1]::text[]::json[], '{k,m}')",
        &[&event],
    )?;
    let found: Vec<i32> = found.iter().map(|row| row.get(0)).collect();
    assert_eq!(found, [0, 1]);
    assert_eq!(requested(&mut client, &event, &[("m", "s 10")])?, [0]);
    Ok(())
}

fn requested(client: &mut Client, event: &str, requests: &[(&str, &str)]) -> Result<Vec<i32>> {
    let events = vec![event; requests.len()];
    let (keys, requests): (Vec<&str>, Vec<&str>) = requests.iter().copied().unzip();
    let rows = client.query(
        "select deliveries from lockstep_api.publish_events($1::text[]::json[], $2, $3) order by place",
        &[&events, &keys, &requests],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
