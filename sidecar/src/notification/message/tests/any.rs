//! Any payload becomes a message that Slack accepts.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::render;
use super::wrong::wrong;
use super::{KINDS, files, room};

/// The names of fields in payloads.
const FIELDS: [&str; 81] = [
    "object_attributes",
    "project",
    "user",
    "user_name",
    "user_username",
    "commits",
    "commit",
    "builds",
    "labels",
    "assignees",
    "reviewers",
    "changes",
    "previous",
    "current",
    "merge_request",
    "issue",
    "snippet",
    "epic",
    "work_item",
    "mentioned",
    "group",
    "title",
    "name",
    "username",
    "iid",
    "id",
    "url",
    "web_url",
    "homepage",
    "path_with_namespace",
    "full_path",
    "description",
    "note",
    "noteable_type",
    "message",
    "action",
    "status",
    "state",
    "ref",
    "before",
    "after",
    "sha",
    "author",
    "tag",
    "stage",
    "stages",
    "allow_failure",
    "duration",
    "finished_at",
    "started_at",
    "updated_at",
    "status_changed_at",
    "environment",
    "short_sha",
    "commit_url",
    "commit_title",
    "deployable_id",
    "deployable_url",
    "user_url",
    "severity",
    "events",
    "report_type",
    "location",
    "identifiers",
    "issues",
    "file",
    "dependency",
    "slug",
    "diff_url",
    "total_commits_count",
    "source_branch",
    "yaml_errors",
    "build_name",
    "build_status",
    "build_stage",
    "build_failure_reason",
    "released_at",
    "active",
    "awardable_type",
    "awarded_on_url",
    "previous_sha",
];

/// Their usual values, and worse.
const WORDS: [&str; 40] = [
    "<!channel>",
    "<!here|x>",
    "<@U123>",
    "<#C1|general>",
    "<https://evil.example|good>",
    "[good](https://evil.example)",
    "*",
    "_",
    "~",
    "`",
    "```",
    ">>>",
    "&",
    "&lt;",
    "<",
    ">",
    "|",
    "\n",
    "\r\n",
    "\u{202e}",
    "\u{200b}",
    "\0",
    "👩\u{200d}🚀",
    "e\u{301}",
    "中文",
    "https://gitlab.example.com/a?b=1&c=2",
    "http://x.example/|>`",
    "javascript:alert(1)",
    "2024-05-06T07:08:09Z",
    "Issue",
    "MergeRequest",
    "Incident",
    "open",
    "update",
    "failed",
    "success",
    "refs/heads/main",
    "refs/tags/v1",
    "0000000000000000000000000000000000000000",
    "<!date^1^{date}|x>",
];

fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        2 => "[a-z0-9 ]{1,12}",
        1 => "\\PC{0,12}",
        1 => ".{0,12}",
    ];
    let text = proptest::collection::vec(word, 0..6).prop_map(|words| words.concat());
    // Occasionally one that is too long for any place.
    prop_oneof![40 => text.clone(), 1 => (text, 100..1_000_usize).prop_map(|(text, times)| text.repeat(times))]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        12 => any_text().prop_map(Value::from),
    ];
    let nested = leaf.clone().prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            2 => object(inner, 6),
        ]
    });
    prop_oneof![6 => leaf, 1 => nested]
}

fn object(inner: impl Strategy<Value = Value>, most: usize) -> impl Strategy<Value = Value> {
    let field = (proptest::sample::select(&FIELDS[..]), inner);
    proptest::collection::vec(field, 0..most).prop_map(|fields| fields.into_iter().collect())
}

fn any_kind() -> impl Strategy<Value = &'static str> {
    prop_oneof![14 => proptest::sample::select(&KINDS[..]), 1 => Just("unknown")]
}

/// Random values where payloads have something.
fn any_event() -> impl Strategy<Value = Value> {
    let parts = [
        "object_attributes",
        "user",
        "project",
        "issue",
        "mentioned",
        "changes",
    ];
    let parts = parts.map(|part| (Just(part), object(any_json(), 40)));
    let lists = ["commits", "builds", "labels", "assignees", "reviewers"];
    let lists = lists.map(|list| {
        let items = proptest::collection::vec(object(any_json(), 12), 0..3);
        (Just(list), items.prop_map(Value::from))
    });
    (any_kind(), object(any_json(), 12), parts, lists).prop_map(
        |(kind, mut event, parts, lists)| {
            for (name, value) in parts.into_iter().chain(lists) {
                event[name] = value;
            }
            event["object_kind"] = json!(kind);
            event
        },
    )
}

/// One of the samples, with other values in some of its fields.
fn changed_sample() -> impl Strategy<Value = Value> {
    let samples: Vec<Value> = files(&room("samples"))
        .unwrap_or_default()
        .into_values()
        .collect();
    let change = (any::<proptest::sample::Index>(), any_json());
    (
        proptest::sample::select(samples),
        proptest::collection::vec(change, 1..6),
    )
        .prop_map(|(mut sample, changes)| {
            for (place, value) in changes {
                let mut pointers = Vec::new();
                point(&sample, String::new(), &mut pointers);
                let pointer = place.get(&pointers).clone();
                if pointer != "/object_kind"
                    && let Some(field) = sample.pointer_mut(&pointer)
                {
                    *field = value;
                }
            }
            sample
        })
}

/// The paths of all parts of a value.
fn point(value: &Value, path: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                point(field, format!("{path}/{name}"), pointers);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                point(item, format!("{path}/{place}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(path);
}

proptest! {
    #[test]
    fn any_payload_becomes_a_message_that_slack_takes(event in any_event()) {
        prop_assert_eq!(wrong(&render(&event)), Vec::<String>::new());
    }

    #[test]
    fn a_payload_with_odd_fields_becomes_a_message_that_slack_takes(event in changed_sample()) {
        prop_assert_eq!(wrong(&render(&event)), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_object_becomes_a_message_too(event in any_json()) {
        prop_assert_eq!(wrong(&render(&event)), Vec::<String>::new());
    }
}
