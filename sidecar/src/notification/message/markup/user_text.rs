//! User text made harmless: it mentions nobody, links to nothing, formats nothing, and hides nothing.

use std::borrow::Cow;

use super::markdown::without_links;
pub(in crate::notification::message) use crate::slack::escape;
use crate::slack::{code as in_code, shorten};

/// Names of users, branches and jobs.
pub(in crate::notification::message) const NAME: usize = 100;

/// Titles: GitLab's longest have 255 characters.
pub(in crate::notification::message) const TITLE: usize = 200;

/// Descriptions and comments. Slack collapses messages that are much longer.
pub(in crate::notification::message) const BODY: usize = 500;
const LINES: usize = 12;

/// A text on one line, as markup.
pub(in crate::notification::message) fn line(text: &str, most: usize) -> String {
    let plain = without_links(&visible(start(text, most)));
    escape(&defused(&shorten(&in_one_line(&plain), most))).into_owned()
}

/// A text as code, without formatting. Empty if it shows nothing.
pub(in crate::notification::message) fn code(text: &str, most: usize) -> String {
    let visible = in_one_line(&visible(start(text, most)));
    match visible.is_empty() {
        true => visible,
        false => in_code(&shorten(&visible, most)),
    }
}

/// A text of several lines, each as markup, without blank lines at both ends. Empty if it shows nothing.
pub(in crate::notification::message) fn lines(text: &str) -> Vec<String> {
    let plain = without_links(&visible(start(text, BODY)));
    let mut lines: Vec<&str> = Vec::new();
    for line in plain.lines().map(str::trim_end) {
        let is_first = lines.last().is_none_or(|last| last.is_empty());
        if !(is_fence(line) || line.is_empty() && is_first) {
            lines.push(line);
        }
    }
    while lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let is_cut = lines.len() > LINES;
    lines.truncate(LINES);
    lines.extend(is_cut.then_some("…"));
    let lines = lines.join("\n");
    let lines = shorten(&lines, BODY);
    let lines = lines.lines().map(item);
    lines
        .map(|line| escape(&defused(&line)).into_owned())
        .collect()
}

/// Only as much as can matter: the rest of a megabyte is not processed.
fn start(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most.saturating_mul(40))]
}

/// The fence of a code block. Code is readable without it, and cannot swallow what follows.
fn is_fence(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("```") || line.starts_with("~~~")
}

/// A list item, in Slack's form.
fn item(line: &str) -> Cow<'_, str> {
    let text = line.trim_start();
    match text.strip_prefix("* ").or_else(|| text.strip_prefix("- ")) {
        Some(item) => Cow::Owned(format!("{}• {item}", &line[..line.len() - text.len()])),
        None => Cow::Borrowed(line),
    }
}

fn in_one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// The text without characters that are invisible or change the text direction.
fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut last = ' ';
    while let Some(letter) = letters.next() {
        let is_kept = match letter {
            '\n' => true,
            '\r' if letters.peek() == Some(&'\n') => false,
            // Joiners belong to emoji and to the scripts that need them; elsewhere they only hide something.
            '\u{200c}' | '\u{200d}' => {
                let next = letters.peek().copied().unwrap_or(' ');
                joins(last) && joins(next)
            }
            letter => !is_invisible(letter),
        };
        if is_kept {
            visible.push(letter);
            last = letter;
        } else if matches!(
            letter,
            '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        ) && letters.peek() != Some(&'\n')
        {
            visible.push(if letter == '\t' { ' ' } else { '\n' });
            last = ' ';
        }
    }
    visible
}

/// Arabic and Indic letters, emoji, and the modifiers of both.
fn joins(letter: char) -> bool {
    matches!(letter, '\u{600}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The text with look-alikes for characters that Slack would treat as formatting and that cannot be escaped.
fn defused(text: &str) -> Cow<'_, str> {
    if !text.contains(['*', '_', '~', '`', '>']) {
        return Cow::Borrowed(text);
    }
    let mut defused = String::with_capacity(text.len());
    let mut last = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        let is_inside = |side: fn(char) -> bool| last.is_some_and(side) && next.is_some_and(side);
        // Within a word, or with spaces on both sides, Slack does not treat it as formatting either.
        let is_harmless = is_inside(char::is_alphanumeric) || is_inside(char::is_whitespace);
        defused.push(match letter {
            '*' if !is_harmless => '∗',
            '_' if !is_harmless => 'ˍ',
            '~' if !is_harmless => '∼',
            '`' => '\'',
            // It would start a quotation.
            '>' if last.is_none() => '›',
            letter => letter,
        });
        last = Some(letter);
    }
    Cow::Owned(defused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BODY, code, line, lines};

    #[test]
    fn lines_are_harmless() {
        let cases = [
            ("<!channel> & <@U1>", "&lt;!channel&gt; &amp; &lt;@U1&gt;"),
            ("see [here](https://evil.example)", "see here"),
            ("one\r\ntwo\tthree\u{2028}four", "one two three four"),
            ("abc\u{202e}gpj.exe\u{202c}", "abcgpj.exe"),
            ("in\u{200b}vis\u{2060}ib\u{feff}le\u{ad}", "invisible"),
            ("tag\u{e0041}\u{e007f}ged", "tagged"),
            ("a\u{200d}b\u{200c}c", "abc"),
            (
                "👩\u{200d}🚀 می\u{200c}خواهم",
                "👩\u{200d}🚀 می\u{200c}خواهم",
            ),
            ("❤\u{fe0f}\u{200d}🔥", "❤\u{fe0f}\u{200d}🔥"),
            ("*bold* _it_ ~no~ `code`", "∗bold∗ ˍitˍ ∼no∼ 'code'"),
            ("snake_case 2*3 a ~ b", "snake_case 2*3 a ~ b"),
            ("__init__.py", "ˍˍinitˍˍ.py"),
            ("```rust", "'''rust"),
            (">>> all of this", "›&gt;&gt; all of this"),
            ("Vec<String>", "Vec&lt;String&gt;"),
            (" \u{200b}\n ", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(line(text, 100), expected, "{text:?}");
        }
        assert_eq!(line("&&&&&&", 3), "&amp;&amp;…");
        assert_eq!(code("a`b\n\u{202e}c <d> *e*", 100), "`a'b c &lt;d&gt; *e*`");
        assert_eq!(code("\u{200b}", 100), "");
    }

    #[test]
    fn many_lines_are_harmless() {
        let text = "\n\n# Title\n\n\n\n* one\n  - two\n```sh\nrm -rf *\n```\n>>> rest\n[x](https://evil.example)\n\n";
        let expected = [
            "# Title",
            "",
            "• one",
            "  • two",
            "rm -rf ∗",
            "›&gt;&gt; rest",
            "x",
        ];
        assert_eq!(lines(text), expected);
        assert!(lines(" \n\u{200b}\n<!-- template -->").is_empty());
        assert_eq!(lines(&"line\n".repeat(20)).len(), 13);
        let long = lines(&"word ".repeat(1_000)).concat();
        assert!(long.ends_with('…'), "{long}");
        assert_eq!(long.chars().count(), BODY);
    }

    proptest! {
        #[test]
        fn nothing_dangerous_stays(text in r"(\PC|[*_~`<>&\[\]()!@#|\n\r\t :]|\p{Cf}|\p{Cc}|https://a\.b|<!channel>|<@U1>){0,40}", most in 1..60_usize) {
            for (markup, is_code) in [(line(&text, most), false), (lines(&text).concat(), false), (code(&text, most), true)] {
                prop_assert!(!markup.contains(['<', '>']), "{markup:?}");
                prop_assert!(!markup.contains(['\u{202e}', '\u{200b}', '\u{feff}', '\u{0}', '\r']), "{markup:?}");
                prop_assert!(is_code || !markup.contains('`'), "{markup:?}");
                let unescaped = markup.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
                prop_assert!(!unescaped.contains('&'), "{markup:?}");
            }
            prop_assert!(!line(&text, most).contains('\n'));
            prop_assert!(!lines(&text).iter().any(|line| line.contains('\n')));
        }

        #[test]
        fn letters_stay_as_they_are(text in "[a-zA-Z0-9äöüßéあ中文😀 ,.;:?]{0,60}") {
            let words: Vec<&str> = text.split_whitespace().collect();
            prop_assert_eq!(line(&text, 100), words.join(" "));
        }
    }
}
