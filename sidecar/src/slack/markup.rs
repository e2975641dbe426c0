//! Shortens Slack markup: it is cut between its parts, because half a link, half an `&amp;` or half a code span is invalid.

/// The beginning of markup, with at most this many characters.
pub(crate) fn fit(markup: &str, most: usize) -> String {
    if markup.char_indices().nth(most).is_none() {
        return markup.to_owned();
    }
    let kept = beginning(markup, most.saturating_sub(MARK.chars().count()), |part| {
        part.chars().count()
    });
    format!("{kept}{MARK}")
}

/// The first lines, with at most this many bytes; of a line that is too long by itself, its beginning.
pub(crate) fn fit_lines(markup: &str, most: usize) -> String {
    if markup.len() <= most {
        return markup.to_owned();
    }
    let end = LINES.len().min(most);
    let room = most - end;
    let mut kept = 0;
    for line in markup.split_inclusive('\n') {
        if kept + line.len() > room {
            break;
        }
        kept += line.len();
    }
    match kept {
        0 => {
            let room = most.saturating_sub(MARK.len());
            format!("{}{MARK}", beginning(markup, room, str::len))
        }
        _ => format!("{}{LINES}", &markup[..kept]),
    }
}

/// Marks where something was cut.
const MARK: &str = "…";
const LINES: &str = "… and more";

fn beginning(markup: &str, mut room: usize, length: impl Fn(&str) -> usize) -> &str {
    let mut kept = 0;
    while kept < markup.len() {
        let rest = &markup[kept..];
        let part = &rest[..part(rest)];
        let length = length(part);
        if length > room {
            break;
        }
        room -= length;
        kept += part.len();
    }
    &markup[..kept]
}

/// The bytes of the first part: a link or mention, an escaped character, a code span, or a character.
fn part(markup: &str) -> usize {
    let character = markup.ceil_char_boundary(1);
    let until = |end: char| markup.find(end).map_or(markup.len(), |at| at + 1);
    match markup.as_bytes().first() {
        Some(b'<') => until('>'),
        Some(b'&') => until(';'),
        // Without an end in the same line it is an ordinary character.
        Some(b'`') => {
            let line = markup[1..]
                .find('\n')
                .map_or(&markup[1..], |end| &markup[1..=end]);
            line.find('`').map_or(character, |end| end + 2)
        }
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{fit, fit_lines};
    use crate::slack::message::code;

    #[test]
    fn markup_is_cut_between_its_parts() {
        let cases = [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a&amp;b", 6, "a…"),
            ("a&amp;bc", 7, "a&amp;…"),
            ("a <https://b.example|c> d", 24, "a <https://b.example|c>…"),
            ("a <https://b.example|c> d", 23, "a …"),
            ("äöü€", 3, "äö…"),
            ("a `b c` de", 9, "a `b c` …"),
            ("a `b c` de", 7, "a …"),
            // None of these is a code span.
            ("a `b\nc` d", 7, "a `b\nc…"),
            ("a ` bcdefg", 7, "a ` bc…"),
            ("``abcdefg", 4, "``a…"),
        ];
        for (markup, most, expected) in cases {
            assert_eq!(fit(markup, most), expected, "{markup} {most}");
        }
    }

    #[test]
    fn lines_are_left_out_as_a_whole() {
        let cases = [
            ("one\ntwo", 7, "one\ntwo"),
            (
                "one\ntwo\nthree and more of it",
                28,
                "one\ntwo\nthree and more of it",
            ),
            ("one\ntwo\nthree and more of it", 27, "one\ntwo\n… and more"),
            ("one\ntwo\nthree and more of it", 19, "one\n… and more"),
            ("one is `a long line` by itself", 20, "one is …"),
            ("one is &amp; a long line by itself", 14, "one is …"),
        ];
        for (markup, most, expected) in cases {
            assert_eq!(fit_lines(markup, most), expected, "{markup} {most}");
        }
    }

    fn markup() -> impl Strategy<Value = String> {
        let piece = "&amp;|&lt;|&gt;|<https://a[.]b/[a-z]{0,9}\\|[a-zä]{1,9}>|[a-zäé😀 ]{1,9}|`[a-zä ]{1,9}`|\n";
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    fn is_whole(cut: &str) -> bool {
        cut.matches('<').count() == cut.matches('>').count()
            && cut.matches('&').count() == cut.matches(';').count()
            && cut.matches('`').count().is_multiple_of(2)
    }

    proptest! {
        #[test]
        fn markup_fits(markup in markup(), most in 1..200_usize) {
            let cut = fit(&markup, most);
            prop_assert!(cut.chars().count() <= most);
            prop_assert!(is_whole(&cut), "{}", cut);
            let kept = cut.strip_suffix('…').unwrap_or(&cut);
            prop_assert!(markup.starts_with(kept));
        }

        #[test]
        fn lines_fit(markup in markup(), most in 20..200_usize) {
            let cut = fit_lines(&markup, most);
            prop_assert!(cut.len() <= most);
            prop_assert!(is_whole(&cut), "{}", cut);
        }

        #[test]
        fn any_text_is_survived(text: String, most in 0..40_usize) {
            prop_assert!(fit(&text, most.max(1)).chars().count() <= most.max(1));
            let cut = fit_lines(&text, most.max(3));
            prop_assert!(cut.len() <= most.max(3), "{}", cut);
        }

        /// As the replies of commands are built.
        #[test]
        fn names_are_whole(names in proptest::collection::vec("[&<>`aä]{1,30}", 1..20), most in 20..200_usize) {
            let names: Vec<String> = names.iter().map(|name| code(name)).collect();
            prop_assert!(is_whole(&fit(&names.join(", "), most)));
            prop_assert!(is_whole(&fit_lines(&names.join("\n"), most)));
        }
    }
}
