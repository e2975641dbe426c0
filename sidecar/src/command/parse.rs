//! The words of a command.

/// The parsed text after the slash command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words<'a> {
    /// The project, group or instance: the first word, if there are two.
    pub(super) alias: Option<&'a str>,
    /// The command in lower case; empty if there is none.
    pub(super) name: String,
    /// The rest of the text.
    pub(super) rest: &'a str,
}

impl<'a> Words<'a> {
    /// A single word is a command; with more words, the first is an alias.
    pub(super) fn of(text: &'a str) -> Self {
        let text = text.trim();
        let (alias, command) = match split(text) {
            (first, "") => (None, first),
            // About a person, or with the project behind it.
            (first, rest) if is_command(first, rest) => (None, text),
            (first, rest) => (Some(first), rest),
        };
        let (name, rest) = split(command);
        Self {
            alias,
            name: name.to_lowercase(),
            rest,
        }
    }
}

/// Commands that begin with their name. A project with that alias can still be meant: its commands have no slash.
fn is_command(first: &str, rest: &str) -> bool {
    let (second, _) = split(rest);
    let is = |name: &str| first.eq_ignore_ascii_case(name);
    is("notify") && second.eq_ignore_ascii_case("me")
        || (is("subscribe") || is("unsubscribe")) && second.contains('/')
}

fn split(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Words;

    #[test]
    fn first_of_several_words_is_the_alias() {
        let cases = [
            ("", None, "", ""),
            ("  \n\t ", None, "", ""),
            ("help", None, "help", ""),
            (" HELP ", None, "help", ""),
            ("group/project status", Some("group/project"), "status", ""),
            ("group/project\tstatus", Some("group/project"), "status", ""),
            ("group/project\nStatus", Some("group/project"), "status", ""),
            (
                "Group/Project issue new  A title\nand text",
                Some("Group/Project"),
                "issue",
                "new  A title\nand text",
            ),
            ("help status", Some("help"), "status", ""),
            ("Notify me", None, "notify", "me"),
            ("notify  ME quiet off", None, "notify", "ME quiet off"),
            ("notify status", Some("notify"), "status", ""),
            ("subscribe a/b #c", None, "subscribe", "a/b #c"),
            ("Unsubscribe a/b", None, "unsubscribe", "a/b"),
            ("subscribe status", Some("subscribe"), "status", ""),
            ("a/b subscribe #c", Some("a/b"), "subscribe", "#c"),
            ("subscribe", None, "subscribe", ""),
            (
                "grüppe/projekt ÄNDERN",
                Some("grüppe/projekt"),
                "ändern",
                "",
            ),
        ];
        for (text, alias, name, rest) in cases {
            let expected = Words {
                alias,
                name: name.to_owned(),
                rest,
            };
            assert_eq!(Words::of(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn words_of_any_text_are_parts_of_it(text: String) {
            let words = Words::of(&text);
            prop_assert!(words.alias.is_none_or(|alias| !alias.is_empty() && text.contains(alias)));
            prop_assert!(!words.name.contains(char::is_whitespace));
            prop_assert!(text.trim().ends_with(words.rest));
            prop_assert_eq!(words.name.is_empty(), text.trim().is_empty());
        }

        #[test]
        fn blanks_make_no_difference(alias in "[a-z/]{1,20}", name in "[a-z]{1,10}", blank in "[ \t\n]{1,3}") {
            let spaced = format!("{blank}{alias}{blank}{name}{blank}");
            let expected = Words { alias: Some(&alias), name, rest: "" };
            prop_assert_eq!(Words::of(&spaced), expected);
        }
    }
}
