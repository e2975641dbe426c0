//! How a person wants to be notified of what is for them: `/gitlab notify me ...`.

use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

use super::given::{Answering, Command, Given};
use super::state::App;
use crate::slack::{Reply, code};

pub(super) const COMMAND: Command = Command {
    name: "notify",
    usage: "notify me` shows whether messages mention you, and how to change that",
    run: notify,
};

fn notify<'a>(app: &'a App, given: &'a Given) -> Answering<'a> {
    Box::pin(async move {
        let slash = given.slash.command.as_str();
        let Some(choices) = choices(&given.rest).filter(|_| given.alias.is_none()) else {
            return Ok(Reply::new(usage(slash)));
        };
        let owner = given.slash.owner.tenant();
        let chosen = app.database.set_person(owner, &given.slash.user, &choices);
        match chosen.await {
            // Only the name of a time zone is left to the database.
            Err(error) if error.has_code(&SqlState::INVALID_PARAMETER_VALUE) => {
                Ok(Reply::new(format!(
                    "That is not a time zone. Its name is that of a city, such as `Europe/Berlin`, or `UTC`.\n{}",
                    usage(slash)
                )))
            }
            Err(error) if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
                Ok(Reply::new("No project is connected to this workspace yet."))
            }
            chosen => Ok(Reply::new(shown(&chosen?, slash))),
        }
    })
}

/// What the words after the command change; None if they are not understood.
fn choices(words: &str) -> Option<Value> {
    let words = words.to_owned();
    let words: Vec<&str> = words.split_whitespace().collect();
    let is_me = words.first()?.eq_ignore_ascii_case("me");
    let is_on = |word: &str| match word.to_lowercase().as_str() {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    let rest = words.get(1..).filter(|_| is_me)?;
    let name = rest.first().map(|name| name.to_lowercase());
    Some(match (name.as_deref(), rest.get(1..).unwrap_or_default()) {
        (None, []) => json!({}),
        (Some("mentions"), [word]) => json!({ "mentions": is_on(word)? }),
        (Some("direct"), [word]) => json!({ "direct_messages": is_on(word)? }),
        (Some("own"), [word]) => json!({ "own_actions": is_on(word)? }),
        (Some("quiet"), ["off"]) => json!({ "quiet_hours": null }),
        (Some("quiet"), [hours, zone]) => {
            let (from, until) = hours.split_once('-')?;
            json!({ "quiet_hours": { "from": time(from)?, "until": time(until)?, "time_zone": zone } })
        }
        _ => return None,
    })
}

/// A time as HH:MM; the minutes may be left out.
fn time(text: &str) -> Option<String> {
    let (hours, minutes) = text.split_once(':').unwrap_or((text, "00"));
    let number = |text: &str, most: u32| {
        let is_short = (1..=2).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| is_short && *number <= most)
    };
    let (hours, minutes): (u32, u32) = (number(hours, 23)?, number(minutes, 59)?);
    Some(format!("{hours:02}:{minutes:02}"))
}

fn shown(chosen: &Value, slash: &str) -> String {
    let is_on = |name: &str| chosen[name] == true;
    let mentions = match is_on("mentions") {
        true => "Messages mention you if an event is for you, where the project wants mentions.",
        false => "Messages do not mention you.",
    };
    let direct = match is_on("direct_messages") {
        true => "You also get these events as direct messages.",
        false => "You get no direct messages.",
    };
    let own = match is_on("own_actions") {
        true => "Your own actions count, too.",
        false => "Your own actions do not count.",
    };
    let hours = &chosen["quiet_hours"];
    let text = |name: &str| hours[name].as_str().unwrap_or_default();
    let quiet = match hours.is_null() {
        true => "You have no quiet hours.".to_owned(),
        false => format!(
            "Quiet hours: {} to {}, {}. Direct messages wait until they end.",
            text("from"),
            text("until"),
            code(text("time_zone"))
        ),
    };
    let account = match is_on("linked") {
        true => "",
        false => {
            "\n:warning: Your GitLab account is not linked to Slack, so nobody knows which events are for you. \
             Link it in GitLab: User settings, Integration accounts."
        }
    };
    format!(
        "• {mentions}\n• {direct}\n• {own}\n• {quiet}{account}\n{}",
        usage(slash)
    )
}

fn usage(slash: &str) -> String {
    let lines = [
        ("mentions on", "or `off`: whether messages mention you"),
        (
            "direct on",
            "or `off`: whether you get direct messages as well",
        ),
        ("own on", "or `off`: whether your own actions count"),
        (
            "quiet 22:00-07:00 Europe/Berlin",
            "or `quiet off`: when not to disturb you",
        ),
    ];
    let lines = lines.map(|(words, meaning)| {
        format!(
            "• {} {meaning}\n",
            code(&format!("{slash} notify me {words}"))
        )
    });
    format!("*Change it*\n{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{choices, shown, usage};

    #[test]
    fn words_are_choices() {
        let quiet = |from: &str, until: &str| json!({ "quiet_hours": { "from": from, "until": until, "time_zone": "UTC" } });
        for (words, expected) in [
            ("me", json!({})),
            ("ME Mentions OFF", json!({ "mentions": false })),
            ("me direct on", json!({ "direct_messages": true })),
            ("me own on", json!({ "own_actions": true })),
            ("me quiet off", json!({ "quiet_hours": null })),
            ("me quiet 22:00-7 UTC", quiet("22:00", "07:00")),
            ("me quiet 9-17:30 UTC", quiet("09:00", "17:30")),
        ] {
            assert_eq!(choices(words), Some(expected), "{words}");
        }
        for words in [
            "",
            "you",
            "me mentions",
            "me mentions maybe",
            "me mentions on off",
            "me everything off",
            "me quiet",
            "me quiet 22:00-07:00",
            "me quiet 24:00-07:00 UTC",
            "me quiet 22:60-07:00 UTC",
            "me quiet +1-7 UTC",
            "me quiet 22:00 07:00 UTC",
            "me quiet -7 UTC",
        ] {
            assert_eq!(choices(words), None, "{words}");
        }
    }

    #[test]
    fn choices_are_shown_safely() {
        let quiet = json!({ "from": "22:00", "until": "07:00", "time_zone": "<!channel>" });
        let chosen = json!({ "mentions": true, "linked": false, "quiet_hours": quiet });
        let text = shown(&chosen, "/gitlab");
        assert!(
            text.contains("22:00 to 07:00, `&lt;!channel&gt;`"),
            "{text}"
        );
        assert!(text.contains("not linked") && text.ends_with(&usage("/gitlab")));
        assert!(!shown(&json!({ "linked": true }), "/gitlab").contains("not linked"));
    }
}
