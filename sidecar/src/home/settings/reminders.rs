//! The reminders of reviews of the form: a line for each, with a time, a time zone and channels. What is no time of day is a cron
//! expression.

use serde_json::{Value, json};

use super::lines::Kind;
use super::text::channels;

pub(super) const REMINDERS: &str = "review_reminders";

pub(super) const KIND: Kind = Kind {
    setting: REMINDERS,
    most: 10,
    read,
};

const DAYS: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

fn read(line: &str) -> Result<Value, String> {
    const WRONG: &str = "Write a time, days if not each day, a time zone and channels, such as 09:00 MON-FRI Europe/Berlin #review";
    let words: Vec<&str> = line.split_whitespace().collect();
    let (cron, rest) = time(&words).ok_or(WRONG)?;
    let (zone, rest) = match rest {
        [zone, rest @ ..] if !zone.starts_with('#') => (*zone, rest),
        _ => ("UTC", rest),
    };
    let channels = channels(&rest.join(" "))?;
    if channels.is_empty() && !rest.is_empty() {
        return Err(WRONG.to_owned());
    }
    Ok(json!({ "cron": cron, "time_zone": zone, "channels": channels }))
}

/// The cron expression that some words begin with, and what follows.
fn time<'w>(words: &'w [&'w str]) -> Option<(String, &'w [&'w str])> {
    let (first, rest) = words.split_first()?;
    if let Some((hour, minute)) = time_of_day(first) {
        let days = rest.first().and_then(|word| days(word));
        let rest = if days.is_some() { &rest[1..] } else { rest };
        let days = days.unwrap_or_else(|| "*".to_owned());
        return Some((format!("{minute} {hour} * * {days}"), rest));
    }
    if first.starts_with('@') {
        return Some(((*first).to_owned(), rest));
    }
    let fields = words.get(..5)?;
    Some((fields.join(" "), &words[5..]))
}

fn time_of_day(word: &str) -> Option<(u8, u8)> {
    let is_number = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
    let (hour, minute) = word.split_once(':')?;
    if !is_number(hour) || !is_number(minute) || hour.len() > 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some((hour, minute))
}

/// Days of the week and ranges of them, between commas.
fn days(word: &str) -> Option<String> {
    let word = word.to_ascii_uppercase();
    let mut days = word.split([',', '-']);
    days.all(|it| DAYS.contains(&it)).then_some(word)
}

/// The reminders as they are typed; none if that would be read as others.
pub(super) fn written(reminders: &Value) -> Option<String> {
    KIND.written(reminders, line)
}

fn line(reminder: &Value) -> String {
    let text = |field: &str| reminder[field].as_str().unwrap_or_default();
    let channels = reminder["channels"].as_array().into_iter().flatten();
    let channels: Vec<&str> = channels.filter_map(Value::as_str).collect();
    let cron = text("cron");
    let time = daily(cron).unwrap_or_else(|| cron.to_owned());
    let line = [&time, text("time_zone"), &channels.join(" ")].join(" ");
    line.trim_end().to_owned()
}

/// A time of day, if the expression is one.
fn daily(cron: &str) -> Option<String> {
    let fields: Vec<&str> = cron.split(' ').collect();
    let [minute, hour, "*", "*", on] = fields[..] else {
        return None;
    };
    let (minute, hour): (u8, u8) = (minute.parse().ok()?, hour.parse().ok()?);
    let time = format!("{hour:02}:{minute:02}");
    let line = match on {
        "*" => time,
        _ => format!("{time} {}", days(on)?),
    };
    let words: Vec<&str> = line.split(' ').collect();
    self::time(&words)
        .is_some_and(|(read, _)| read == cron)
        .then_some(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{KIND, written};

    fn reminder(cron: &str, zone: &str, channels: &[&str]) -> Value {
        json!({ "cron": cron, "time_zone": zone, "channels": channels })
    }

    #[test]
    fn lines_are_reminders() {
        for (line, read) in [
            (
                "09:00 MON-FRI Europe/Berlin #review",
                reminder("0 9 * * MON-FRI", "Europe/Berlin", &["#review"]),
            ),
            (
                "9:05 mon,wed-fri #a, #b C012",
                reminder("5 9 * * MON,WED-FRI", "UTC", &["#a", "#b", "C012"]),
            ),
            ("00:00", reminder("0 0 * * *", "UTC", &[])),
            ("23:59 CET C012", reminder("59 23 * * *", "CET", &["C012"])),
            ("@daily UTC", reminder("@daily", "UTC", &[])),
            (
                " 0 9 1-7 * MON  Asia/Tokyo",
                reminder("0 9 1-7 * MON", "Asia/Tokyo", &[]),
            ),
            // The database says what it thinks of these.
            ("9:00 monday", reminder("0 9 * * *", "monday", &[])),
            ("a b c d e f", reminder("a b c d e", "f", &[])),
        ] {
            let typed = KIND.typed(line).unwrap_or_default();
            assert_eq!(typed.values, [read], "{line}");
        }
        for wrong in [
            "9", "24:00", "9:60 #a", "9:5", ":", "+9:00", "#review", "9:00 #", "0 9 * *",
        ] {
            let said = KIND.typed(wrong).err().unwrap_or_default();
            assert!(
                said.starts_with("Line 1: Write a time, days"),
                "{wrong}: {said}"
            );
        }
        let said = KIND.typed("9:00 UTC #<a>").err().unwrap_or_default();
        assert!(said.starts_with("Line 1: #<a> is not a channel"), "{said}");
        let said = KIND.typed(&"9:00\n".repeat(11)).err().unwrap_or_default();
        assert_eq!(
            said,
            "There are 11 review reminders, but at most 10 are allowed."
        );
    }

    #[test]
    fn reminders_are_shown_as_they_are_typed() {
        for (reminder, line) in [
            (reminder("0 9 * * *", "UTC", &[]), Some("09:00 UTC")),
            (
                reminder("5 19 * * MON-FRI", "CET", &["#a", "C1"]),
                Some("19:05 MON-FRI CET #a C1"),
            ),
            // As it is: as a time of day it would be another expression.
            (reminder("0 9 * * 1-5", "UTC", &[]), Some("0 9 * * 1-5 UTC")),
            (reminder("0 9 * * mon", "UTC", &[]), Some("0 9 * * mon UTC")),
            (reminder("00 09 * * *", "UTC", &[]), Some("00 09 * * * UTC")),
            (reminder("*/5 9 * * *", "UTC", &[]), Some("*/5 9 * * * UTC")),
            (reminder("@hourly", "UTC", &["#a"]), Some("@hourly UTC #a")),
            (json!({ "cron": "@daily" }), None),
            (
                json!({ "cron": "0 9", "time_zone": "UTC", "channels": [] }),
                None,
            ),
        ] {
            assert_eq!(written(&json!([reminder])).as_deref(), line, "{reminder}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_shown_as_it_is_read(text in "([#0-9:*@/, \n\t-]|MON|fri|UTC|09:00 |\\* ){0,14}|\\PC*") {
            if let Ok(typed) = KIND.typed(&text) {
                let reminders = json!(typed.values);
                let shown = written(&reminders);
                prop_assert!(shown.is_some(), "{}", reminders);
                prop_assert_eq!(KIND.typed(&shown.unwrap_or_default()).map(|it| it.values), Ok(typed.values));
            }
        }
    }
}
