//! What is typed into the fields of the form: lists, and a line for each event or group.

use serde_json::{Map, Value, json};

use crate::database::EVENTS;

/// The maximum number of channels per event.
const MOST_CHANNELS: usize = 10;
const LONGEST_CHANNEL: usize = 80;

/// Names and ids separated by commas, spaces or line ends, without duplicates.
pub(super) fn channels(text: &str) -> Result<Vec<String>, String> {
    let mut channels: Vec<String> = Vec::new();
    for channel in text.split(|letter: char| letter == ',' || letter.is_whitespace()) {
        let name = channel.strip_prefix('#').unwrap_or(channel);
        if name.is_empty() || channels.iter().any(|other| other == channel) {
            continue;
        }
        let is_plain = |letter: char| !letter.is_control() && !"#@<>&|\"'`".contains(letter);
        if name.chars().count() > LONGEST_CHANNEL || !name.chars().all(is_plain) {
            let shown: String = channel.chars().take(LONGEST_CHANNEL).collect();
            return Err(format!(
                "{shown} is not a channel: write #name, or the id that Slack shows."
            ));
        }
        channels.push(channel.to_owned());
    }
    match channels.len() > MOST_CHANNELS {
        true => Err(format!(
            "There are {} channels, but at most {MOST_CHANNELS} are allowed.",
            channels.len()
        )),
        false => Ok(channels),
    }
}

/// One line per event: its name, a colon, and its channels. Events without a line no longer have their own channels.
pub(super) fn event_channels(text: &str) -> Result<Map<String, Value>, String> {
    let mut by_event: Map<String, Value> = EVENTS
        .iter()
        .map(|event| (event.name.to_owned(), Value::Null))
        .collect();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((event, its)) = line.split_once(':') else {
            return Err(
                "Write an event, a colon and its channels in each line, such as push: #commits"
                    .to_owned(),
            );
        };
        let event = event.trim().to_lowercase();
        let known = EVENTS
            .iter()
            .find(|it| it.name == event || it.words == event);
        let Some(known) = known else {
            let names: Vec<&str> = EVENTS.iter().map(|it| it.name).collect();
            let shown: String = event.chars().take(40).collect();
            return Err(format!(
                "{shown} is not an event. Events are {}.",
                names.join(", ")
            ));
        };
        let its = channels(its)?;
        if its.is_empty() {
            continue;
        }
        let before = by_event.insert(known.name.to_owned(), json!(its));
        if before.is_some_and(|before| !before.is_null()) {
            return Err(format!(
                "There are two lines for {}: write its channels in one line, separated by commas.",
                known.name
            ));
        }
    }
    Ok(by_event)
}

/// One line per group: its path in GitLab, a colon, and the id of its user group in Slack. These replace all before.
pub(super) fn user_groups(text: &str) -> Result<Map<String, Value>, String> {
    let mut groups = Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let parts = line
            .split_once(':')
            .map(|(path, id)| (path.trim(), id.trim()));
        match parts {
            Some((path, id)) if !path.is_empty() && id.starts_with('S') => {
                groups.insert(path.to_owned(), json!(id));
            }
            _ => {
                return Err(
                    "Write the path of a group in GitLab, a colon and the id of a user group in Slack in each line, such as tea/green: S0123456789"
                        .to_owned(),
                );
            }
        }
    }
    Ok(groups)
}

/// The parts between commas, without a leading sign.
pub(super) fn words(text: &str, sign: char) -> Vec<String> {
    let words = text
        .split([',', '\n'])
        .map(|word| word.trim().trim_start_matches(sign));
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
