//! What channels of a workspace follow, in words: for the command that lists it, and for the App Home.

use serde_json::Value;

use crate::database::{Follower, Subscription};
use crate::route::written;
use crate::slack::{advice, code, escape, shorten};

/// A path may have thousands of characters.
const LONGEST: usize = 200;

/// A subscription may have 50 routes.
const MOST_ROUTES: usize = 3;

/// A line for each subscription.
pub(crate) fn lines(subscriptions: &[Subscription]) -> String {
    subscriptions.iter().map(line).collect()
}

/// A line for each channel that follows a project, for those who manage the project.
pub(crate) fn follower_lines(followers: &[Follower]) -> String {
    followers.iter().map(follower_line).collect()
}

/// The channel is one of another workspace, so Slack does not show its name.
fn follower_line(it: &Follower) -> String {
    let Follower { subscription, .. } = it;
    let team = it.team_name.as_deref().unwrap_or(&it.team);
    let by = match &it.username {
        Some(name) => format!(", by {}", escape(&shorten(name, LONGEST))),
        None => String::new(),
    };
    let held = held(subscription).map(|held| format!(" ({held})"));
    format!(
        "• {} in {} of {}: {}{by}{}\n",
        code(&shorten(path_of(subscription), LONGEST)),
        code(&shorten(&subscription.channel, LONGEST)),
        escape(&shorten(team, LONGEST)),
        events(&subscription.known_events(), &subscription.routes),
        held.unwrap_or_default(),
    )
}

fn path_of(it: &Subscription) -> &str {
    it.path.as_deref().unwrap_or("a project that is gone")
}

/// Why nothing is sent.
fn held(it: &Subscription) -> Option<&'static str> {
    match it.state.as_str() {
        "active" => None,
        "archived" => Some("the project is archived"),
        "pending_delete" => Some("the project is being deleted"),
        "silent_mode" => Some("GitLab is silent"),
        "not_installed" => Some("the app has to be installed again"),
        _ => Some("the project is gone"),
    }
}

/// Events, and the conditions that they must fulfil.
pub(crate) fn events(events: &[&str], routes: &Value) -> String {
    let routes = routes.as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<String> = routes.iter().take(MOST_ROUTES).map(conditions).collect();
    let more = match routes.len() > shown.len() {
        true => " or …",
        false => "",
    };
    match shown.is_empty() {
        true => events.join(", "),
        false => format!("{}; if {}{more}", events.join(", "), shown.join(" or ")),
    }
}

/// As they are typed: `branches=main,release/*`.
fn conditions(route: &Value) -> String {
    code(&shorten(&written(route), LONGEST))
}

fn line(it: &Subscription) -> String {
    let problem = match (held(it), &it.error) {
        (Some(held), _) => format!("\n:double_vertical_bar: {held}"),
        (None, Some(error)) => {
            let needed = it.needed.as_deref();
            format!("\n:x: {}", advice(error, needed))
        }
        (None, None) => String::new(),
    };
    format!(
        "• {} in {}: {}{problem}\n",
        code(&shorten(path_of(it), LONGEST)),
        channel(&it.channel),
        events(&it.known_events(), &it.routes),
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
    use serde_json::{Value, json};

    use super::{channel, events, follower_lines, lines};
    use crate::database::{Follower, Subscription};

    fn subscription(state: &str, error: Option<&str>) -> Subscription {
        Subscription {
            path: Some("group/<one>".to_owned()),
            channel: "#c".to_owned(),
            events: vec!["push".to_owned(), "issue".to_owned()],
            routes: json!([]),
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
    fn conditions_are_shown_as_they_are_typed() {
        let shown = |routes: Value| events(&["pushes", "issues"], &routes);
        assert_eq!(shown(json!([])), "pushes, issues");
        assert_eq!(
            shown(
                json!([{"branches": ["main", "release/*"], "drafts": false, "events": ["push"]}, {"labels": ["<bug>", "help wanted"]}])
            ),
            "pushes, issues; if `push branches=main,release/* drafts=false` or `labels=&lt;bug&gt;,\"help wanted\"`"
        );
        let many = vec![json!({"tags": true}); 50];
        assert_eq!(
            shown(many.into()),
            "pushes, issues; if `tags=true` or `tags=true` or `tags=true` or …"
        );
    }

    /// A channel of another workspace is no link: Slack would not know it, or show another one.
    #[test]
    fn a_follower_is_told_with_workspace_and_account() {
        let mut follower = Follower {
            subscription: Subscription {
                channel: "C0123".to_owned(),
                ..subscription("archived", None)
            },
            team: "T1".to_owned(),
            team_name: Some("<Globex>".to_owned()),
            username: Some("ada".to_owned()),
        };
        assert_eq!(
            follower_lines(std::slice::from_ref(&follower)),
            "• `group/&lt;one&gt;` in `C0123` of &lt;Globex&gt;: pushes, issues, by ada (the project is archived)\n"
        );
        follower.team_name = None;
        follower.username = None;
        follower.subscription.state = "active".to_owned();
        assert_eq!(
            follower_lines(&[follower]),
            "• `group/&lt;one&gt;` in `C0123` of T1: pushes, issues\n"
        );
    }

    #[test]
    fn only_an_id_becomes_a_link() {
        assert_eq!(channel("C0123"), "<#C0123>");
        assert_eq!(channel("#general"), "#general");
        assert_eq!(channel("<!channel>"), "&lt;!channel&gt;");
        assert_eq!(channel(""), "");
    }
}
