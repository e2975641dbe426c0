//! Branch filters, and branches that GitLab protects.

use crate::notification::filter::{check, pipeline, push, set};
use crate::notification::publish::{event, told};
use anyhow::Result;
use serde_json::{Value, json};

fn protected_push(reference: &str, is_protected: bool) -> Value {
    event(
        "push",
        1,
        json!({"ref": reference, "ref_protected": is_protected}),
    )
}

/// A pipeline that ends the same way again counts once.
fn numbered(pipeline: &Value, id: i64) -> Value {
    let mut pipeline = pipeline.clone();
    pipeline["object_attributes"]["id"] = json!(id);
    pipeline
}

#[test]
fn branches_are_filtered() -> Result<()> {
    let mut client = told("filter_branch")?;
    let tag = event("tag_push", 1, json!({"ref": "refs/tags/v1"}));
    let pipeline_of_tag = event(
        "pipeline",
        1,
        json!({"object_attributes": {"id": 1, "ref": "v1", "tag": true, "status": "failed"}}),
    );
    let deployment = |reference: &str| {
        event(
            "deployment",
            1,
            json!({"status": "success", "ref": reference}),
        )
    };
    let unsaid = event("deployment", 1, json!({"status": "success"}));
    let without_default = json!({"object_kind": "push", "ref": "refs/heads/main", "project_id": 1});
    let protected_pipeline = event(
        "pipeline",
        1,
        json!({"object_attributes": {"id": 1, "ref": "x", "protected_ref": true, "status": "failed"}}),
    );
    // What each setting allows: the default branch, another protected one, an unprotected one.
    for (turn, branches, default, protected, other) in [
        (1, "all", "queued", "queued", "queued"),
        (2, "default", "queued", "branch", "branch"),
        (3, "protected", "branch", "queued", "branch"),
        (4, "default_and_protected", "queued", "queued", "branch"),
    ] {
        set(&mut client, json!({"branches": branches}))?;
        check(
            &mut client,
            branches,
            &[
                (protected_push("refs/heads/main", false), default),
                (protected_push("refs/heads/stable", true), protected),
                (protected_push("refs/heads/topic", false), other),
                // It is unknown whether it is protected: there is no such table.
                (push("refs/heads/stable"), other),
                (pipeline(turn, "main", "failed"), default),
                (pipeline(turn, "topic", "failed"), other),
                (numbered(&protected_pipeline, turn), protected),
                (deployment("main"), default),
                (deployment("topic"), other),
                (deployment("refs/tags/v1"), "queued"),
                (unsaid.clone(), "queued"),
                (tag.clone(), "queued"),
                (numbered(&pipeline_of_tag, turn), "queued"),
                (
                    without_default.clone(),
                    if branches == "all" {
                        "queued"
                    } else {
                        "branch"
                    },
                ),
                // Only events with a branch.
                (
                    event("wiki_page", 1, json!({"object_attributes": {}})),
                    "queued",
                ),
                (
                    event(
                        "merge_request",
                        1,
                        json!({"object_attributes": {"target_branch": "topic"}}),
                    ),
                    "queued",
                ),
            ],
        )?;
    }
    Ok(())
}

#[test]
fn protected_branches_are_the_hosts() -> Result<()> {
    let mut client = told("filter_protected")?;
    set(&mut client, json!({"branches": "protected"}))?;
    check(
        &mut client,
        "no table",
        &[(push("refs/heads/stable"), "branch")],
    )?;
    // It is created during the session.
    client.batch_execute(
        "create table protected_branches (id bigserial primary key, project_id bigint, name varchar not null);
         create index on protected_branches (project_id);
         insert into protected_branches (project_id, name) values (1, 'stable'), (1, 'release-*'), (1, '*-hot-*-fix'), (1, 'a*a'), (2, '*'), (null, '*')",
    )?;
    let cases = [
        ("stable", "queued"),
        ("stable2", "branch"),
        ("unstable", "branch"),
        ("release-", "queued"),
        ("release-1/2", "queued"),
        ("a-release-1", "branch"),
        ("x-hot-y-fix", "queued"),
        ("-hot--fix", "queued"),
        ("-hot-fix", "branch"),
        ("x-hot-y-fixed", "branch"),
        ("a", "branch"),
        ("aa", "queued"),
        ("main", "branch"),
        ("Stable", "branch"),
    ];
    for (branch, expected) in cases {
        check(
            &mut client,
            "the table",
            &[(push(&format!("refs/heads/{branch}")), expected)],
        )?;
    }
    // The payload takes precedence.
    check(
        &mut client,
        "the payload",
        &[(protected_push("refs/heads/stable", false), "branch")],
    )?;
    // A group's protected branches apply to all of its projects, where GitLab supports that. Project 1 is in group 1.
    let of_group = push("refs/heads/of-group");
    client.batch_execute("alter table protected_branches add column namespace_id bigint")?;
    check(&mut client, "no group", &[(of_group.clone(), "branch")])?;
    client.batch_execute(
        "create index on protected_branches (namespace_id);
         insert into protected_branches (namespace_id, name) values (1, 'of-*'), (2, 'elsewhere')",
    )?;
    check(
        &mut client,
        "the group",
        &[
            (of_group, "queued"),
            (push("refs/heads/stable"), "queued"),
            (push("refs/heads/elsewhere"), "branch"),
        ],
    )?;
    client.batch_execute("alter table protected_branches rename column name to title")?;
    check(
        &mut client,
        "another table",
        &[(push("refs/heads/stable"), "branch")],
    )?;
    client.batch_execute("drop table protected_branches")?;
    check(
        &mut client,
        "no table any more",
        &[(push("refs/heads/stable"), "branch")],
    )?;
    Ok(())
}
