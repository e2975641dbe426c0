//! What of an event nobody is told is not kept: variables of pipelines may be secrets, and addresses are nobody's business. The webhooks that the
//! sidecar takes come without it; here it is for whoever publishes events otherwise.

use serde_json::Value;

/// Fields that no message shows, wherever they are.
const NEVER_SHOWN: [&[u8]; 12] = [
    b"variables",
    b"email",
    b"user_email",
    b"avatar_url",
    b"user_avatar",
    b"st_diff",
    b"runner",
    b"artifacts_file",
    b"git_ssh_url",
    b"git_http_url",
    b"ssh_url",
    b"http_url",
];
const SHORTEST_NAME: usize = 5;

/// No message shows more of a text, in bytes.
const LONGEST_TEXT: usize = 4_000;
/// As it is written in JSON, where a line's end takes two: none that was cut already is to be cut again.
const LONGEST_WRITTEN: usize = 2 * LONGEST_TEXT;

/// Whether a string between its quotes, with what comes after it, is none that is kept as it is. This is asked of each in every event.
pub(super) fn is_superfluous(string: &[u8], rest: &[u8]) -> bool {
    string.len() > LONGEST_WRITTEN
        || (string.len() >= SHORTEST_NAME
            && NEVER_SHOWN.contains(&string)
            && rest.trim_ascii_start().first() == Some(&b':'))
}

/// An event without what is superfluous in it.
pub(crate) fn trimmed(event: &str) -> String {
    match serde_json::from_str(event) {
        Ok(mut event) => {
            trim(&mut event);
            event.to_string()
        }
        // Nobody can read it, but whoever checked that wrote it.
        Err(_) => event.to_owned(),
    }
}

fn trim(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !NEVER_SHOWN.contains(&name.as_bytes()));
            fields.values_mut().for_each(trim);
        }
        Value::Array(items) => items.iter_mut().for_each(trim),
        Value::String(text) => text.truncate(text.floor_char_boundary(LONGEST_TEXT)),
        _ => {}
    }
}
