//! Times, with their age.

use maud::{Markup, html};

use crate::page::report::length;
use crate::text::duration;

/// A time in the past: how long ago it was, and when.
pub(super) fn ago(at: Option<&String>, seconds: Option<f64>) -> Markup {
    told(at, seconds, |age| format!("{age} ago"))
}

/// How long something has lasted.
pub(super) fn lasting(since: Option<&String>, seconds: Option<f64>) -> Markup {
    told(since, seconds, |age| format!("for {age}"))
}

/// A time to come.
pub(super) fn ahead(at: Option<&String>, seconds: Option<f64>) -> Markup {
    told(at, seconds, |left| format!("in {left}"))
}

fn told(at: Option<&String>, seconds: Option<f64>, words: fn(String) -> String) -> Markup {
    let Some((at, seconds)) = at.zip(seconds) else {
        return html! {};
    };
    let words = match seconds < 1.0 {
        true => "now".to_owned(),
        false => words(duration(length(seconds))),
    };
    html! { time datetime=(at) title=(utc(at)) { (words) } }
}

/// The database writes its times in UTC, with more digits than anybody reads.
fn utc(at: &str) -> String {
    let shown = at.get(..16).unwrap_or(at);
    format!("{} UTC", shown.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::ago;

    #[test]
    fn a_time_says_how_old_it_is_and_when_it_was() {
        let at = "2026-01-02T03:04:05.678901+00:00".to_owned();
        let shown = ago(Some(&at), Some(7_500.0)).into_string();
        assert_eq!(
            shown,
            "<time datetime=\"2026-01-02T03:04:05.678901+00:00\" title=\"2026-01-02 03:04 UTC\">2 h 5 min ago</time>"
        );
        assert_eq!(ago(None, Some(1.0)).into_string(), "");
        assert!(ago(Some(&at), Some(-5.0)).into_string().contains(">now<"));
    }
}
