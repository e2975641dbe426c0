//! Splits the text of a command into words like a shell: quotes keep spaces together. It also undoes what Slack and keyboards
//! change in typed text.

use std::borrow::Cow;

use crate::slack::unescape;

/// The words, or None if a quote is not closed. User mentions keep their ids, because users can choose their names but not their
/// ids.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let text = unescape(&without_marks(text, People::Apart));
    let text = straight(&text);
    // A shell would treat it as the beginning of a comment.
    let words = shlex::split(&text.replace('#', HASH))?;
    let mut is_of_people = false;
    let words = words.into_iter().map(|word| {
        let word = with_dashes(word.replace(HASH, "#"));
        let keeps = is_of_people || word.starts_with("--user=");
        is_of_people = word == "--user";
        match keeps {
            true => word.replace(BEGIN, "<@").replace(END, ">"),
            false => with_names(&word),
        }
    });
    Some(words.collect())
}

/// The text as typed, for people to read.
pub(in crate::chatops) fn typed(text: &str) -> String {
    unescape(&without_marks(text, People::ByName))
}

/// Characters that nobody types.
const HASH: &str = "\u{e023}";
const BEGIN: &str = "\u{e024}";
const END: &str = "\u{e025}";

/// How user mentions are converted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum People {
    ByName,
    /// Id and name between characters that nobody types.
    Apart,
}

/// Links and mentions as typed: `<url|text>` as the text, `<@U1|ada>` as `@ada`, `<#C1|general>` as `#general`.
fn without_marks(text: &str, people: People) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('<') {
        plain.push_str(before);
        let Some((mark, after)) = from.split_once('>') else {
            plain.push('<');
            rest = from;
            continue;
        };
        let (target, label) = mark.split_once('|').unwrap_or((mark, ""));
        match (target.as_bytes().first(), label.is_empty()) {
            (Some(b'@'), _) if people == People::Apart => {
                let id = &target[1..];
                // A name is one word, whatever it contains.
                let name = label.replace(|letter: char| NO_NAME.contains(letter), "_");
                let name = if name.is_empty() { id } else { &name };
                plain.push_str(&format!("{BEGIN}{id}|{name}{END}"));
            }
            (_, true) => plain.push_str(target),
            (sign, false) => {
                match sign {
                    Some(b'@') => plain.push('@'),
                    Some(b'#') => plain.push('#'),
                    _ => {}
                }
                plain.push_str(label);
            }
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// Characters that would end a word or a list, or quote what follows.
const NO_NAME: &str = " \t\n,\"'\\“”„‟″‘’‚‛";

/// Shows mentions that kept their ids as `@ada`.
fn with_names(word: &str) -> String {
    let mut plain = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, from)) = rest.split_once(BEGIN) {
        plain.push_str(before);
        let (mention, after) = from.split_once(END).unwrap_or((from, ""));
        let (_, name) = mention.split_once('|').unwrap_or(("", mention));
        plain.push('@');
        plain.push_str(name);
        rest = after;
    }
    plain.push_str(rest);
    plain
}

/// Straight quotes as on a keyboard, except for an apostrophe within a word.
fn straight(text: &str) -> Cow<'_, str> {
    const DOUBLE: [char; 5] = ['“', '”', '„', '‟', '″'];
    const SINGLE: [char; 4] = ['‘', '’', '‚', '‛'];
    if !text.contains(DOUBLE) && !text.contains(SINGLE) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut last = ' ';
    while let Some(letter) = letters.next() {
        let is_within =
            last.is_alphanumeric() && letters.peek().is_some_and(|next| next.is_alphanumeric());
        plain.push(match letter {
            '’' if is_within => letter,
            letter if DOUBLE.contains(&letter) => '"',
            letter if SINGLE.contains(&letter) => '\'',
            letter => letter,
        });
        last = letter;
    }
    Cow::Owned(plain)
}

/// Two dashes at the beginning, which some keyboards turn into one long dash.
fn with_dashes(word: String) -> String {
    match word.strip_prefix(['—', '–']) {
        Some(rest) if rest.starts_with(|letter: char| letter.is_ascii_alphabetic()) => {
            format!("--{rest}")
        }
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{split, typed};

    #[test]
    fn words_are_as_a_shell_has_them() {
        let cases: [(&str, &[&str]); 24] = [
            ("", &[]),
            ("  \n\t ", &[]),
            ("run feature  get\nx", &["run", "feature", "get", "x"]),
            ("a \"b c\" 'd e'", &["a", "b c", "d e"]),
            ("a “b c” ‘d e’ „f g“", &["a", "b c", "d e", "f g"]),
            ("“it’s”", &["it’s"]),
            ("it’s broken", &["it’s", "broken"]),
            ("--user='a b',c", &["--user=a b,c"]),
            ("—user=ada –group g", &["--user=ada", "--group", "g"]),
            ("a — b", &["a", "—", "b"]),
            ("a\\ b", &["a b"]),
            ("&lt;x&gt; &amp;amp;", &["<x>", "&amp;"]),
            ("<@U1|ada> <@U2>", &["@ada", "@U2"]),
            ("--user=<@U1|ada>,bob", &["--user=<@U1|ada>,bob"]),
            ("—user=<@U1>", &["--user=<@U1|U1>"]),
            (
                "--user <@U1|Ada \"x\", y> <@U2|bob>",
                &["--user", "<@U1|Ada__x___y>", "@bob"],
            ),
            ("<#C1|general> <#C2>", &["#general", "#C2"]),
            ("#general a#b", &["#general", "a#b"]),
            ("<http://gitlab.com|gitlab.com>", &["gitlab.com"]),
            (
                "<https://gitlab.com/a/b/-/merge_requests/1>",
                &["https://gitlab.com/a/b/-/merge_requests/1"],
            ),
            ("a < b", &["a", "<", "b"]),
            ("\"\"", &[""]),
            ("“”", &[""]),
            ("<!here> <!subteam^S1|@team>", &["!here", "@team"]),
        ];
        for (text, words) in cases {
            let expected: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(split(text), Some(expected), "{text:?}");
        }
        for text in ["\"a", "it's", "a “b", "\\"] {
            assert_eq!(split(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_was_typed_is_shown() {
        for (text, shown) in [
            ("a &lt;b&gt; &amp;lt;", "a <b> &lt;"),
            ("--user=<@U1|ada>,<@U2>", "--user=@ada,@U2"),
            (
                "<#C1|general> <https://a.b|a.b> <!here>",
                "#general a.b !here",
            ),
        ] {
            assert_eq!(typed(text), shown, "{text}");
        }
    }

    /// Escaped like Slack does with typed text.
    fn escaped(text: &str) -> String {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = split(&text);
        }

        #[test]
        fn marks_that_are_not_closed_are_survived(text in "[<>|@#!& a\"'“’—\\\\-]{0,40}") {
            let _ = split(&text);
        }

        #[test]
        fn quoted_words_come_out_as_they_went_in(words in proptest::collection::vec("[a-z0-9 <>&#/.,=:$*(){}!|;~-]{0,12}", 0..6)) {
            let Ok(joined) = shlex::try_join(words.iter().map(String::as_str)) else {
                unreachable!("no word has a zero byte");
            };
            prop_assert_eq!(split(&escaped(&joined)), Some(words));
        }

        #[test]
        fn curly_quotes_are_as_straight_ones(words in proptest::collection::vec("[a-z ]{1,8}", 1..5)) {
            let quoted = |left: char, right: char| {
                let words: Vec<String> = words.iter().map(|word| format!("{left}{word}{right}")).collect();
                words.join(" ")
            };
            let expected = split(&quoted('"', '"'));
            prop_assert_eq!(&split(&quoted('“', '”')), &expected);
            prop_assert_eq!(&split(&quoted('‘', '’')), &expected);
            prop_assert_eq!(expected, Some(words));
        }

        #[test]
        fn blanks_make_no_difference(words in proptest::collection::vec("[a-z]{1,8}", 0..6), blank in "[ \t\n]{1,3}") {
            let spaced = format!("{blank}{}{blank}", words.join(&blank));
            prop_assert_eq!(split(&spaced), Some(words));
        }
    }
}
