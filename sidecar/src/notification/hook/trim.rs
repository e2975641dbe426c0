//! What of an event nobody is told is not kept: variables of pipelines may be secrets, addresses are nobody's business, and
//! diffs are long.

use serde_json::Value;

/// Fields that no message shows, wherever they are.
const NEVER_SHOWN: [&str; 12] = [
    "variables",
    "email",
    "user_email",
    "avatar_url",
    "user_avatar",
    "st_diff",
    "runner",
    "artifacts_file",
    "git_ssh_url",
    "git_http_url",
    "ssh_url",
    "http_url",
];

/// No message shows more of a text, in bytes.
const LONGEST_TEXT: usize = 4_000;

/// No message lists as many things.
const LONGEST_LIST: usize = 500;

pub(super) fn trim(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !NEVER_SHOWN.contains(&name.as_str()));
            fields.values_mut().for_each(trim);
        }
        Value::Array(items) => {
            if items.len() > LONGEST_LIST {
                // A message names the jobs that failed.
                items.sort_by_key(|item| item["status"] != "failed");
                items.truncate(LONGEST_LIST);
            }
            items.iter_mut().for_each(trim);
        }
        Value::String(text) => text.truncate(text.floor_char_boundary(LONGEST_TEXT)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LONGEST_LIST, LONGEST_TEXT, trim};

    #[test]
    fn secrets_and_addresses_are_left_out() {
        let mut event = json!({
            "object_attributes": { "status": "failed", "variables": [{ "key": "PASSWORD", "value": "secret" }] },
            "user": { "username": "root", "email": "root@example.com" },
            "commits": [{ "author": { "name": "A", "email": "a@example.com" } }],
        });
        trim(&mut event);
        assert_eq!(
            event,
            json!({
                "object_attributes": { "status": "failed" },
                "user": { "username": "root" },
                "commits": [{ "author": { "name": "A" } }],
            })
        );
    }

    #[test]
    fn texts_and_lists_are_cut() {
        let mut event =
            json!({ "text": "ä".repeat(LONGEST_TEXT), "list": vec![1; LONGEST_LIST + 1] });
        trim(&mut event);
        assert_eq!(event["text"].as_str().map(str::len), Some(LONGEST_TEXT));
        assert_eq!(event["list"].as_array().map(Vec::len), Some(LONGEST_LIST));
        let mut jobs: Vec<Value> = (0..LONGEST_LIST + 200)
            .map(|id| json!({ "id": id, "status": "success" }))
            .collect();
        jobs[LONGEST_LIST + 150]["status"] = json!("failed");
        let mut jobs = Value::from(jobs);
        trim(&mut jobs);
        assert_eq!(jobs[0]["id"], LONGEST_LIST + 150);
        assert_eq!(jobs[1]["id"], 0);
        assert_eq!(jobs.as_array().map(Vec::len), Some(LONGEST_LIST));
        let mut text = Value::from("short");
        trim(&mut text);
        assert_eq!(text, Value::from("short"));
    }
}
