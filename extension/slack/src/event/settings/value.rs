//! Values of settings: what is valid, and how it is stored.

use crate::error::{EventError, Result};
use serde_json::Value;

/// Maximum number of channels per event, as in the application.
const MOST_CHANNELS: usize = 10;
/// Maximum length of a channel name, as in Slack.
const MOST_OF_CHANNEL: usize = 80;
/// Maximum number of labels and authors, and length of each.
const MOST_NAMES: usize = 100;
const MOST_OF_NAME: usize = 255;

pub(crate) fn setting(path: impl Into<String>, problem: impl Into<String>) -> crate::error::Error {
    EventError::Setting {
        path: path.into(),
        problem: problem.into(),
    }
    .into()
}

/// The part of a name that error messages repeat.
pub(crate) fn short(name: &str) -> String {
    name.chars().take(50).collect()
}

pub(crate) fn truth(name: &str, value: &Value, default: bool) -> Result<bool> {
    match value {
        Value::Null => Ok(default),
        Value::Bool(truth) => Ok(*truth),
        _ => Err(setting(name, "is not a boolean")),
    }
}

pub(super) fn one_of<T: Copy>(
    name: &str,
    value: &Value,
    all: &[T],
    name_of: fn(T) -> &'static str,
    default: T,
) -> Result<T> {
    if value.is_null() {
        return Ok(default);
    }
    let found = all.iter().find(|it| value.as_str() == Some(name_of(**it)));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|it| name_of(*it)).collect();
        setting(name, format!("is none of {}", names.join(", ")))
    })
}

/// A list of texts, or one comma-separated text, without duplicates.
pub(super) fn list(path: &str, value: &Value) -> Result<Vec<String>> {
    let items: Vec<&str> = match value {
        Value::Null => Vec::new(),
        Value::String(text) => text.split(',').collect(),
        Value::Array(items) => {
            let texts = items.iter().enumerate().map(|(place, item)| {
                let text = item.as_str();
                text.ok_or_else(|| setting(format!("{path}[{place}]"), "is not a text"))
            });
            texts.collect::<Result<_>>()?
        }
        _ => return Err(setting(path, "is neither a list nor a text")),
    };
    let mut list: Vec<String> = Vec::new();
    for item in items.into_iter().map(str::trim) {
        if !item.is_empty() && !list.iter().any(|it| it == item) {
            list.push(item.to_owned());
        }
    }
    Ok(list)
}

/// Stores names with #, so that each has one form. Ids stay as in Slack: they are upper case, which names never are.
pub(crate) fn channels(path: &str, value: &Value) -> Result<Vec<String>> {
    let mut channels: Vec<String> = Vec::new();
    for channel in list(path, value)? {
        let is_named = channel.starts_with('#') || is_id(&channel);
        let channel = if is_named {
            channel
        } else {
            format!("#{channel}")
        };
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > MOST_CHANNELS {
        return Err(setting(
            path,
            format!("has more than {MOST_CHANNELS} channels"),
        ));
    }
    for channel in &channels {
        let name = channel.strip_prefix('#').unwrap_or(channel);
        let is_wrong = |letter: char| {
            letter.is_whitespace() || is_unseen(letter) || "#,@<>&\"'`".contains(letter)
        };
        if name.is_empty() || name.chars().count() > MOST_OF_CHANNEL || name.contains(is_wrong) {
            return Err(setting(
                path,
                format!(
                    "has \"{}\", which is neither a name nor an id of a channel",
                    short(channel)
                ),
            ));
        }
    }
    Ok(channels)
}

/// Characters that are invisible in a name, or reverse its direction.
fn is_unseen(letter: char) -> bool {
    const MARKS: [std::ops::RangeInclusive<char>; 14] = [
        '\u{ad}'..='\u{ad}',
        '\u{34f}'..='\u{34f}',
        '\u{61c}'..='\u{61c}',
        '\u{115f}'..='\u{1160}',
        '\u{17b4}'..='\u{17b5}',
        '\u{180b}'..='\u{180f}',
        '\u{200b}'..='\u{200f}',
        '\u{202a}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{3164}'..='\u{3164}',
        '\u{fe00}'..='\u{fe0f}',
        '\u{feff}'..='\u{feff}',
        '\u{ffa0}'..='\u{ffa0}',
        '\u{e0000}'..='\u{e0fff}',
    ];
    letter.is_control() || MARKS.iter().any(|marks| marks.contains(&letter))
}

fn is_id(channel: &str) -> bool {
    is_id_of(channel, "CDGUW")
}

/// Whether it is one of Slack's ids that start with one of these letters.
pub(crate) fn is_id_of(id: &str, first: &str) -> bool {
    (2..=MOST_OF_CHANNEL).contains(&id.len())
        && id.starts_with(|letter| first.contains(letter))
        && id
            .bytes()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
}

/// Names in the application, without duplicates.
pub(super) fn names(path: &str, names: Vec<String>) -> Result<Vec<String>> {
    let mut unique: Vec<String> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        if !name.is_empty() && !unique.iter().any(|it| it == name) {
            unique.push(name.to_owned());
        }
    }
    if unique.len() > MOST_NAMES {
        return Err(setting(path, format!("has more than {MOST_NAMES} names")));
    }
    match unique
        .iter()
        .any(|name| name.chars().count() > MOST_OF_NAME)
    {
        true => Err(setting(
            path,
            format!("has a name of more than {MOST_OF_NAME} characters"),
        )),
        false => Ok(unique),
    }
}
