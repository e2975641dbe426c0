//! Removes parts of an event that nobody is shown: pipeline variables may be secrets, e-mail addresses are private, and diffs are
//! long.

use serde_json::Value;
use std::collections::HashSet;

/// Fields that no message shows, wherever they occur.
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
const SHORTEST_NAME: usize = 5;

/// No message shows more of a text, in bytes.
pub(crate) const LONGEST_TEXT: usize = 4_000;
/// The length in JSON, where a line end takes two: a text that was already cut must not be cut again.
const LONGEST_WRITTEN: usize = 2 * LONGEST_TEXT;

/// No message lists more items. The decisive ones come first: see [`shorten`].
pub(crate) const LONGEST_LIST: usize = 500;

fn is_never_shown(name: &[u8]) -> bool {
    name.len() >= SHORTEST_NAME && NEVER_SHOWN.iter().any(|it| it.as_bytes() == name)
}

/// Whether a string between its quotes, with what follows it, is not kept unchanged. This is called for every string of every
/// event.
pub(crate) fn is_superfluous(string: &[u8], rest: &[u8]) -> bool {
    string.len() > LONGEST_WRITTEN
        || (is_never_shown(string) && rest.trim_ascii_start().first() == Some(&b':'))
}

/// An event without superfluous parts.
pub fn trimmed(event: &str) -> String {
    match serde_json::from_str(event) {
        Ok(mut event) => {
            trim(&mut event);
            event.to_string()
        }
        // It cannot be parsed, but whoever checked it wrote it.
        Err(_) => event.to_owned(),
    }
}

pub fn trim(event: &mut Value) {
    match event {
        Value::Object(fields) => {
            fields.retain(|name, _| !is_never_shown(name.as_bytes()));
            fields.values_mut().for_each(trim);
        }
        Value::Array(items) => {
            shorten(items);
            items.iter_mut().for_each(trim);
        }
        Value::String(text) => text.truncate(text.floor_char_boundary(LONGEST_TEXT)),
        _ => {}
    }
}

/// Keeps failed jobs and their other runs, one of which may have passed since; of everything else the first items. The order
/// stays.
pub(crate) fn shorten(items: &mut Vec<Value>) {
    if items.len() <= LONGEST_LIST {
        return;
    }
    let name = |item: &Value| Some(item.get("name")?.as_str()?.to_owned());
    let failed: HashSet<String> = items
        .iter()
        .filter(|item| has_failed(item))
        .filter_map(name)
        .collect();
    let rank = |item: &Value| match has_failed(item) {
        true => 0,
        false if name(item).is_some_and(|name| failed.contains(&name)) => 0,
        false => 1,
    };
    let mut places: Vec<(u8, usize)> = items
        .iter()
        .enumerate()
        .map(|(place, item)| (rank(item), place))
        .collect();
    places.sort_unstable();
    let kept: HashSet<usize> = places[..LONGEST_LIST]
        .iter()
        .map(|(_, place)| *place)
        .collect();
    let mut place = 0..;
    items.retain(|_| place.next().is_some_and(|place| kept.contains(&place)));
}

fn has_failed(item: &Value) -> bool {
    item.get("status").is_some_and(|status| status == "failed")
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
        assert_eq!(event["list"][0], 1);
        let mut text = Value::from("short");
        trim(&mut text);
        assert_eq!(text, Value::from("short"));
    }

    /// A pipeline with a thousand jobs shows which one failed, wherever it is, and does not show one that passed in the end.
    #[test]
    fn jobs_that_failed_are_kept() {
        let job = |id: usize| {
            let (name, status) = match id {
                650 => ("allowed".to_owned(), "failed"),
                700 => ("retried".to_owned(), "failed"),
                990 => ("retried".to_owned(), "success"),
                _ => (format!("job {id}"), "success"),
            };
            json!({ "id": id, "name": name, "status": status })
        };
        let mut event = json!({ "builds": (0..1_000).map(job).collect::<Vec<_>>() });
        trim(&mut event);
        let kept: Vec<u64> = event["builds"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|job| job["id"].as_u64())
            .collect();
        let expected: Vec<u64> = (0..497).chain([650, 700, 990]).collect();
        assert_eq!(kept, expected);
    }
}
