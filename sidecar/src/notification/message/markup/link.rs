//! Links to GitLab's pages.

use std::fmt::Write;

use url::Url;

use crate::slack::escape;

/// Longer ones leave no space for their label; GitLab's longest are shorter.
const LONGEST: usize = 1_000;

/// A Slack link to an address in a payload, with a label that is already markup; only the label if it is not a web address.
pub(in crate::notification::message) fn link(address: &str, label: &str) -> String {
    match target(address) {
        // Slack does not document a second bar in a link.
        Some(target) if !label.is_empty() => {
            format!("<{}|{}>", escape(&target), label.replace('|', "∣"))
        }
        _ => label.to_owned(),
    }
}

/// The address as allowed in a link: characters that would end it or are invisible are percent-encoded.
fn target(address: &str) -> Option<String> {
    // Otherwise a megabyte would be parsed just to be rejected.
    if address.len() > LONGEST {
        return None;
    }
    let url = Url::parse(address.trim()).ok()?;
    let is_page = matches!(url.scheme(), "http" | "https") && url.has_host();
    let url: String = url.as_str().chars().fold(String::new(), |mut url, letter| {
        match letter {
            '|' | '<' | '>' | '`' | '"' | '\u{0}'..=' ' | '\u{7f}'.. => encode(&mut url, letter),
            _ => url.push(letter),
        }
        url
    });
    (is_page && url.len() <= LONGEST).then_some(url)
}

/// A name as part of an address; slashes are kept.
pub(in crate::notification::message) fn path(name: &str) -> String {
    let mut path = String::new();
    for letter in name.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' | '/' => path.push(letter),
            _ => encode(&mut path, letter),
        }
    }
    path
}

fn encode(url: &mut String, letter: char) {
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a String never fails.
        let _ = write!(url, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{link, path};

    #[test]
    fn pages_are_linked() {
        let cases = [
            (
                "https://example.com/a?b=1&c=2#d",
                "<https://example.com/a?b=1&amp;c=2#d|x>",
            ),
            (
                "http://10.0.0.1:3000/root/a",
                "<http://10.0.0.1:3000/root/a|x>",
            ),
            ("https://example.com/a|b", "<https://example.com/a%7Cb|x>"),
            (
                "https://example.com/a>b<c",
                "<https://example.com/a%3Eb%3Cc|x>",
            ),
            (
                "https://example.com/?a>|b",
                "<https://example.com/?a%3E%7Cb|x>",
            ),
            (
                "https://example.com/ä\u{202e}b",
                "<https://example.com/%C3%A4%E2%80%AEb|x>",
            ),
            ("https://example.com/a\nb", "<https://example.com/ab|x>"),
        ];
        for (address, expected) in cases {
            assert_eq!(link(address, "x"), expected);
        }
    }

    #[test]
    fn all_else_is_not() {
        let long = format!("https://example.com/{}", "a".repeat(1_000));
        let grows = format!("https://example.com/{}", "ä".repeat(400));
        let cases = [
            "",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "/relative",
            "slack://open",
            "https://",
            "mailto:a@example.com",
            "git@example.com:a/b.git",
            "!channel",
            "#C123",
            &long,
            &grows,
        ];
        for address in cases {
            assert_eq!(link(address, "x"), "x", "{address}");
        }
        assert_eq!(link("https://example.com", ""), "");
    }

    #[test]
    fn labels_have_no_bar() {
        assert_eq!(
            link("https://example.com/", "a|b"),
            "<https://example.com/|a∣b>"
        );
    }

    #[test]
    fn names_are_parts_of_addresses() {
        assert_eq!(path("feature/#1 50%?"), "feature/%231%2050%25%3F");
    }

    proptest! {
        #[test]
        fn no_address_ends_a_link(address in "https?://[a-z]{1,5}/.{0,40}") {
            let linked = link(&address, "x");
            let inner = linked.strip_prefix('<').and_then(|rest| rest.strip_suffix("|x>"));
            prop_assert!(inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>|".contains(&byte))), "{linked}");
        }

        #[test]
        fn any_address_is_survived(address: String) {
            let _ = link(&address, "x");
        }
    }
}
