//! Texts on a page: in Slack's markup, where people get them in Slack as well, and long names.

use maud::{Markup, html};

use crate::slack::unescape;

/// What is between backticks is code.
pub(super) fn marked(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (unescape(part)) } } @else { (unescape(part)) }
        }
    }
}

/// A name of a table, a worker or a flag, which may be broken between its words.
pub(super) fn name(text: &str) -> Markup {
    html! {
        @for part in text.split_inclusive(['.', ':', '_', '/', '-']) { (part) wbr; }
    }
}

#[cfg(test)]
mod tests {
    use super::{marked, name};
    use crate::slack::{code, escape};

    #[test]
    fn names_stay_text() {
        let text = format!("it is {} & {}", code("<b>"), escape("<i>"));
        let shown = marked(&text).into_string();
        assert_eq!(shown, "it is <code>&lt;b&gt;</code> &amp; &lt;i&gt;");
        assert_eq!(name("<a>_b").into_string(), "&lt;a&gt;_<wbr>b<wbr>");
    }
}
