//! What channels of a workspace follow, in words: for the command that lists it, and for the App Home.

use crate::database::Subscription;
use crate::slack::{advice, code, escape, shorten};

/// A path may have thousands of characters.
const LONGEST: usize = 200;

/// A line for each subscription.
pub(crate) fn lines(subscriptions: &[Subscription]) -> String {
    subscriptions.iter().map(line).collect()
}

fn line(it: &Subscription) -> String {
    let path = it.path.as_deref().unwrap_or("a project that is gone");
    let held = match it.state.as_str() {
        "active" => None,
        "archived" => Some("the project is archived"),
        "pending_delete" => Some("the project is being deleted"),
        "silent_mode" => Some("GitLab is silent"),
        "not_installed" => Some("the app has to be installed again"),
        _ => Some("the project is gone"),
    };
    let problem = match (held, &it.error) {
        (Some(held), _) => format!("\n:double_vertical_bar: {held}"),
        (None, Some(error)) => {
            let needed = it.needed.as_deref();
            format!("\n:x: {}", advice(error, needed))
        }
        (None, None) => String::new(),
    };
    format!(
        "• {} in {}: {}{problem}\n",
        code(&shorten(path, LONGEST)),
        channel(&it.channel),
        it.known_events().join(", "),
    )
}

/// A channel by its name, or by its id, which Slack shows as its name.
pub(crate) fn channel(given: &str) -> String {
    let is_id = |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit();
    match given.bytes().all(is_id) && !given.is_empty() {
        true => format!("<#{given}>"),
        false => escape(&shorten(given, LONGEST)).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{channel, lines};
    use crate::database::Subscription;

    fn subscription(state: &str, error: Option<&str>) -> Subscription {
        Subscription {
            path: Some("group/<one>".to_owned()),
            channel: "#c".to_owned(),
            events: vec!["push".to_owned(), "issue".to_owned()],
            state: state.to_owned(),
            error: error.map(str::to_owned),
            needed: None,
        }
    }

    #[test]
    fn a_line_says_what_is_sent_or_why_nothing_is() {
        let plain = "• `group/&lt;one&gt;` in #c: pushes, issues\n";
        assert_eq!(lines(&[subscription("active", None)]), plain);
        let held = lines(&[subscription("archived", Some("is_archived"))]);
        assert_eq!(
            held,
            "• `group/&lt;one&gt;` in #c: pushes, issues\n:double_vertical_bar: the project is archived\n"
        );
        let failing = lines(&[subscription("active", Some("channel_not_found"))]);
        assert!(failing.contains("\n:x: "), "{failing}");
    }

    #[test]
    fn only_an_id_becomes_a_link() {
        assert_eq!(channel("C0123"), "<#C0123>");
        assert_eq!(channel("#general"), "#general");
        assert_eq!(channel("<!channel>"), "&lt;!channel&gt;");
        assert_eq!(channel(""), "");
    }
}
