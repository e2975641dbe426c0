//! Fields of the form with a line for each thing.

use serde_json::Value;

use super::mistake::Mistake;

/// So many lines that are wrong are reported at once.
const MOST_MISTAKES: usize = 3;

/// The field of the modal. Slack keeps what somebody has typed while a view has a block of the same id: lines that somebody else has
/// saved meanwhile would not be seen.
pub(super) fn block(field: &str, version: &str) -> String {
    format!("{field}.{version}")
}

/// Of a field that is in the form: its block, the version that was shown, and its element.
pub(super) fn field<'v>(values: &'v Value, field: &str) -> Option<(&'v str, &'v str, &'v Value)> {
    let mut blocks = values.as_object()?.iter();
    blocks.find_map(|(block, elements)| {
        let version = block.strip_prefix(field)?.strip_prefix('.')?;
        Some((block.as_str(), version, &elements[field]))
    })
}

/// What a field has lines of: its setting, which is a list, how one is read, and how many there may be.
pub(super) struct Kind {
    pub(super) setting: &'static str,
    pub(super) most: usize,
    pub(super) read: fn(&str) -> Result<Value, String>,
}

/// What was typed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Typed {
    pub(super) values: Vec<Value>,
    /// The number of the line of each.
    lines: Vec<usize>,
}

impl Kind {
    pub(super) fn typed(&self, text: &str) -> Result<Typed, String> {
        let mut typed = Typed::default();
        let mut mistakes = Vec::new();
        let lines = text.lines().zip(1..);
        for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
            match self.read(line) {
                Ok(value) => {
                    typed.values.push(value);
                    typed.lines.push(number);
                }
                Err(wrong) => mistakes.push(format!("Line {number}: {wrong}")),
            }
        }
        if typed.values.len() > self.most {
            mistakes.push(format!(
                "There are {} {}, but at most {} are allowed.",
                typed.values.len(),
                self.setting.replace('_', " "),
                self.most
            ));
        }
        mistakes.truncate(MOST_MISTAKES);
        match mistakes.is_empty() {
            true => Ok(typed),
            false => Err(mistakes.join(" ")),
        }
    }

    fn read(&self, line: &str) -> Result<Value, String> {
        // A tab that was pasted is a space.
        let line = line.replace(|it: char| it.is_control() && it.is_whitespace(), " ");
        // What the form could not show again.
        if line.contains(char::is_control) {
            return Err("It contains a character that cannot be shown.".to_owned());
        }
        (self.read)(&line)
    }

    /// The values as they are typed; none if that would be read as others.
    pub(super) fn written(&self, values: &Value, line: fn(&Value) -> String) -> Option<String> {
        let Some(values) = values.as_array() else {
            return Some(String::new());
        };
        let lines: Vec<String> = values.iter().map(line).collect();
        let is_plain = |line: &String| !line.contains(char::is_control);
        let text = lines.join("\n");
        let is_same = self.typed(&text).is_ok_and(|typed| typed.values == *values);
        (is_same && lines.iter().all(is_plain)).then_some(text)
    }
}

impl Typed {
    /// The line of the one that a path of the database names.
    pub(super) fn line_of(&self, setting: &str, path: &str) -> Option<usize> {
        let rest = path.strip_prefix(setting)?.strip_prefix('[')?;
        let (place, _) = rest.split_once(']')?;
        self.lines.get(place.parse::<usize>().ok()?).copied()
    }
}

/// A field with lines.
#[derive(Debug, PartialEq)]
pub(super) struct Lines {
    pub(super) setting: &'static str,
    pub(super) block: String,
    pub(super) text: String,
    pub(super) typed: Typed,
}

impl Lines {
    pub(super) fn read(kind: &Kind, values: &Value) -> Option<Result<Self, Mistake>> {
        let (block, _, element) = field(values, kind.setting)?;
        let text = element["value"].as_str().unwrap_or_default();
        Some(match kind.typed(text) {
            Ok(typed) => Ok(Self {
                setting: kind.setting,
                block: block.to_owned(),
                text: text.to_owned(),
                typed,
            }),
            Err(wrong) => Err(Mistake::new(block, wrong)),
        })
    }

    pub(super) fn words(&self) -> String {
        self.setting.replace('_', " ")
    }

    #[cfg(test)]
    pub(super) fn of(kind: &Kind, block: &str, text: &str) -> Self {
        Self {
            setting: kind.setting,
            block: block.to_owned(),
            text: text.to_owned(),
            typed: Typed::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Kind, Typed, block, field};

    #[test]
    fn a_field_carries_the_version_that_was_shown() {
        let (routes, all) = (block("routes", "v1"), block("all_routes", "v1"));
        let values = json!({ routes.as_str(): { "routes": 1 }, all.as_str(): { "all_routes": 2 } });
        assert_eq!(
            field(&values, "routes"),
            Some(("routes.v1", "v1", &json!(1)))
        );
        assert_eq!(
            field(&values, "all_routes"),
            Some(("all_routes.v1", "v1", &json!(2)))
        );
        assert_eq!(field(&json!({ "routes": {} }), "routes"), None);
        assert_eq!(field(&Value::Null, "routes"), None);
    }

    const WORDS: Kind = Kind {
        setting: "some_words",
        most: 3,
        read: |line| match line.trim() {
            "wrong" => Err("No.".to_owned()),
            word => Ok(json!(word)),
        },
    };

    #[test]
    fn each_value_has_its_line() {
        let typed = WORDS.typed("a\n\n  \nb c\r\nd").unwrap_or_default();
        assert_eq!(typed.values, ["a", "b c", "d"]);
        assert_eq!(typed.line_of("some_words", "some_words[1].x"), Some(4));
        for other in ["some_words[3]", "some_words", "words[0]", "x.some_words[1]"] {
            assert_eq!(typed.line_of("some_words", other), None, "{other}");
        }
        assert_eq!(WORDS.typed(" \n"), Ok(Typed::default()));
        assert_eq!(WORDS.typed("a\tb").unwrap_or_default().values, ["a b"]);
    }

    #[test]
    fn mistakes_name_their_lines() {
        let wrong = |text: &str| WORDS.typed(text).err().unwrap_or_default();
        assert_eq!(wrong("a\n\nwrong"), "Line 3: No.");
        assert_eq!(wrong(&"wrong\n".repeat(9)).matches("Line ").count(), 3);
        assert_eq!(
            wrong("a\nb\u{7}"),
            "Line 2: It contains a character that cannot be shown."
        );
        assert_eq!(wrong(&"a\n".repeat(3)), "");
        assert_eq!(
            wrong(&"a\n".repeat(4)),
            "There are 4 some words, but at most 3 are allowed."
        );
    }
}
