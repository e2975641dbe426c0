//! Removes the links of Markdown, HTML and Slack's own markup: only the label stays, so that no text leads elsewhere than it
//! says.

/// HTML tags that GitLab renders. Others are text: `Vec<String>` stays as it is.
const TAGS: [&str; 64] = [
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "button",
    "center",
    "cite",
    "code",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "iframe",
    "img",
    "input",
    "ins",
    "kbd",
    "li",
    "link",
    "mark",
    "meta",
    "object",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "script",
    "small",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "svg",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
];

/// Tags that end a line.
const BREAKS: [&str; 14] = [
    "blockquote",
    "br",
    "div",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "p",
    "summary",
    "tr",
];

/// The text without links and tags, in linear time.
pub(in crate::notification::message) fn without_links(text: &str) -> String {
    if !text.contains(['[', '<']) {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let mut cuts = Cuts::new(letters.len());
    cut_links(&letters, &mut cuts);
    cut_tags(&letters, &mut cuts);
    cuts.rest(&letters)
}

/// Which characters to remove. Ranges may overlap.
struct Cuts {
    /// For each character, how many more ranges start than end.
    depths: Vec<i32>,
    /// Where a line ends instead.
    breaks: Vec<bool>,
}

impl Cuts {
    fn new(length: usize) -> Self {
        Self {
            depths: vec![0; length + 1],
            breaks: vec![false; length + 1],
        }
    }

    /// Removes a half-open range.
    fn cut(&mut self, from: usize, to: usize) {
        self.depths[from] += 1;
        self.depths[to] -= 1;
    }

    fn rest(&self, letters: &[char]) -> String {
        let mut depth = 0;
        let mut rest = String::new();
        for (place, letter) in letters.iter().enumerate() {
            depth += self.depths[place];
            if self.breaks[place] {
                rest.push('\n');
            }
            if depth == 0 {
                rest.push(*letter);
            }
        }
        rest
    }
}

/// `[label](address)` and `![label](address)`, which may be nested.
fn cut_links(letters: &[char], cuts: &mut Cuts) {
    let partners = partners(letters);
    for (open, close) in partners.iter().enumerate() {
        if letters[open] != '[' || *close == 0 {
            continue;
        }
        let address = close + 1;
        if letters.get(address) != Some(&'(') || partners[address] == 0 {
            continue;
        }
        let is_image = open > 0 && letters[open - 1] == '!';
        cuts.cut(open - usize::from(is_image), open + 1);
        cuts.cut(*close, partners[address] + 1);
    }
}

/// The position of the closing bracket or parenthesis for each opening one; 0 if it is not closed within the paragraph.
fn partners(letters: &[char]) -> Vec<usize> {
    let mut partners = vec![0; letters.len()];
    let (mut brackets, mut parentheses) = (Vec::new(), Vec::new());
    for (place, letter) in letters.iter().enumerate() {
        match letter {
            '[' => brackets.push(place),
            '(' => parentheses.push(place),
            ']' | ')' => {
                let open = match letter {
                    ']' => brackets.pop(),
                    _ => parentheses.pop(),
                };
                if let Some(open) = open {
                    partners[open] = place;
                }
            }
            '\n' if letters.get(place + 1) == Some(&'\n') => {
                brackets.clear();
                parentheses.clear();
            }
            _ => {}
        }
    }
    partners
}

fn cut_tags(letters: &[char], cuts: &mut Cuts) {
    // Once a comment is not closed, no later one is.
    let mut may_be_comment = true;
    let mut place = 0;
    while place < letters.len() {
        let rest = &letters[place..];
        if rest[0] != '<' {
            place += 1;
            continue;
        }
        if may_be_comment && rest.starts_with(&['<', '!', '-', '-']) {
            match find(&rest[4..], &['-', '-', '>']) {
                Some(end) => {
                    cuts.cut(place, place + end + 7);
                    place += end + 7;
                    continue;
                }
                None => may_be_comment = false,
            }
        }
        place += cut_tag(rest, place, cuts).unwrap_or(1);
    }
}

/// An HTML tag, or a link or mention in Slack's form, at the beginning; returns its length.
fn cut_tag(letters: &[char], place: usize, cuts: &mut Cuts) -> Option<usize> {
    let end = 1 + letters[1..]
        .iter()
        .position(|letter| matches!(letter, '<' | '>'))?;
    if letters[end] == '<' {
        return Some(end);
    }
    let inner: String = letters[1..end].iter().collect();
    let name = inner.strip_prefix('/').unwrap_or(&inner);
    let length = name
        .find(|letter: char| !letter.is_ascii_alphanumeric())
        .unwrap_or(name.len());
    let (name, after) = name.split_at(length);
    let name = name.to_ascii_lowercase();
    if TAGS.contains(&name.as_str())
        && after
            .chars()
            .next()
            .is_none_or(|next| next == '/' || next.is_whitespace())
    {
        cuts.cut(place, place + end + 1);
        cuts.breaks[place] = BREAKS.contains(&name.as_str());
        return Some(end + 1);
    }
    let is_address = ["http:", "https:", "mailto:"].iter().any(|scheme| {
        inner
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let label = letters[..end].iter().position(|letter| *letter == '|');
    match label {
        Some(label) if is_address || inner.starts_with(['@', '#', '!']) => {
            cuts.cut(place, place + label + 1);
            cuts.cut(place + end, place + end + 1);
        }
        None if is_address => {
            cuts.cut(place, place + 1);
            cuts.cut(place + end, place + end + 1);
        }
        _ => {}
    }
    Some(end + 1)
}

fn find(letters: &[char], wanted: &[char]) -> Option<usize> {
    letters
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::without_links;

    #[test]
    fn labels_stay() {
        let cases = [
            (
                "see [the docs](https://evil.example) now",
                "see the docs now",
            ),
            (
                "[https://good.example](https://evil.example)",
                "https://good.example",
            ),
            ("![a picture](https://evil.example/x.png)", "a picture"),
            (
                "[![badge](https://a.example/b.svg)](https://evil.example)",
                "badge",
            ),
            ("[a (b)](https://evil.example/(c))", "a (b)"),
            ("[a](<https://evil.example>)", "a"),
            ("<a href=\"https://evil.example\">here</a>", "here"),
            ("<https://evil.example|good>", "good"),
            ("<https://good.example>", "https://good.example"),
            ("<HTTPS://evil.example|good>", "good"),
            ("<mailto:a@evil.example|b@good.example>", "b@good.example"),
            (
                "<#C123|general> <@U1|ada> <!subteam^S1|@all>",
                "general ada @all",
            ),
            ("one<br>two<br/>three", "one\ntwo\nthree"),
            (
                "<details><summary>More</summary>text</details>",
                "\nMore\ntext",
            ),
            ("a<!-- [x](y) <b> -->b", "ab"),
            ("<B>bold</B><IMG SRC=x>", "bold"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_links(text), expected, "{text}");
        }
    }

    #[test]
    fn all_else_stays() {
        let cases = [
            "plain",
            "Vec<String> and HashMap<K, V>",
            "a < b && b > c",
            "a[1] (one)",
            "[x] done",
            "f[0](",
            "[a\n\n](b)",
            "[a] (b)",
            "<!channel> <@U1>",
            "<!-- never closed <!-- ",
            "<",
            "<>",
            "1 <2",
            "<basic> <a",
            "[",
            "]",
            ")(",
            "<!-->",
        ];
        for text in cases {
            assert_eq!(without_links(text), text, "{text}");
        }
    }

    /// Would take quadratic time, or a deep stack, if each bracket looked for its own end.
    #[test]
    fn deep_nesting_is_survived() {
        let links = format!("{}a{}", "[".repeat(50_000), "](b)".repeat(50_000));
        assert_eq!(without_links(&links), "a");
        let addresses = format!("{}{}", "[a](".repeat(50_000), ")".repeat(50_000));
        assert_eq!(without_links(&addresses), "a");
        for unclosed in ["<!--", "<", "[", "[a](", "<a "] {
            let text = unclosed.repeat(50_000);
            assert_eq!(without_links(&text), text);
        }
    }

    proptest! {
        #[test]
        fn no_markdown_link_stays(text in r"[\[\]()!<>|a:h/ \n-]{0,60}") {
            let _ = without_links(&text);
        }

        #[test]
        fn label_of_any_link_is_all_that_stays(label in "[^\\[\\]()<>\n]{0,20}", address in "[^\\[\\]()<>\n]{0,20}") {
            let linked = format!("[{label}]({address})");
            prop_assert_eq!(without_links(&linked), label);
        }
    }
}
