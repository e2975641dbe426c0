//! The routes of the form: a line for each, in their order, as [`crate::route`] reads it.

use serde_json::{Value, json};

use super::text::channels;
use crate::route;

pub(super) const ROUTES: &str = "routes";
pub(super) const ALL_ROUTES: &str = "all_routes";

/// The choices of [`ALL_ROUTES`].
pub(super) const FIRST: &str = "first";
pub(super) const ALL: &str = "all";

const MOST_ROUTES: usize = 50;

/// So many lines that are wrong are reported at once.
const MOST_MISTAKES: usize = 3;

/// The field of the modal. Slack keeps what somebody has typed while a view has a block of the same id: routes that somebody else has
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

/// What was typed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Typed {
    pub(super) routes: Vec<Value>,
    /// The number of the line of each route.
    lines: Vec<usize>,
}

impl Typed {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut typed = Self::default();
        let mut mistakes = Vec::new();
        let lines = text.lines().zip(1..);
        for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
            match read(line) {
                Ok(route) => {
                    typed.routes.push(route);
                    typed.lines.push(number);
                }
                Err(wrong) => mistakes.push(format!("Line {number}: {wrong}")),
            }
        }
        if typed.routes.len() > MOST_ROUTES {
            mistakes.push(format!(
                "There are {} routes, but at most {MOST_ROUTES} are allowed.",
                typed.routes.len()
            ));
        }
        mistakes.truncate(MOST_MISTAKES);
        match mistakes.is_empty() {
            true => Ok(typed),
            false => Err(mistakes.join(" ")),
        }
    }

    /// The line of the route that a path of the database names.
    pub(super) fn line_of(&self, path: &str) -> Option<usize> {
        let rest = path.strip_prefix("routes[")?;
        let (place, _) = rest.split_once(']')?;
        self.lines.get(place.parse::<usize>().ok()?).copied()
    }
}

fn read(line: &str) -> Result<Value, String> {
    let quoted = |word: &str| format!("“{word}”");
    // A tab that was pasted is a space.
    let line = line.replace(|it: char| it.is_control() && it.is_whitespace(), " ");
    // What the form could not show again.
    if line.contains(char::is_control) {
        return Err("It contains a character that cannot be shown.".to_owned());
    }
    let mut route = route::read(&line).map_err(|wrong| wrong.text(quoted))?;
    let names = route["channels"].as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
    route["channels"] = json!(channels(&names.join(" "))?);
    Ok(route)
}

/// The routes as they are typed; none if that would be read as others.
pub(super) fn written(routes: &Value) -> Option<String> {
    let Some(routes) = routes.as_array() else {
        return Some(String::new());
    };
    let lines: Vec<String> = routes.iter().map(route::written).collect();
    let is_plain = |line: &String| !line.contains(char::is_control);
    let text = lines.join("\n");
    let is_same = Typed::read(&text).is_ok_and(|typed| typed.routes == *routes);
    (is_same && lines.iter().all(is_plain)).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Typed, block, field, written};

    #[test]
    fn lines_are_routes_in_their_order() {
        let text = "#a push branches=main\n\n  \n#b, #a #b drafts=false\r\nC012";
        let typed = Typed::read(text).unwrap_or_default();
        let routes = json!([
            { "channels": ["#a"], "events": ["push"], "branches": ["main"] },
            { "channels": ["#b", "#a"], "drafts": false },
            { "channels": ["C012"] },
        ]);
        assert_eq!(json!(typed.routes), routes);
        assert_eq!(typed.lines, [1, 4, 5]);
        assert_eq!(typed.line_of("routes[1].labels"), Some(4));
        for other in ["routes[3]", "routes", "labels", "x.routes[1]"] {
            assert_eq!(typed.line_of(other), None, "{other}");
        }
        assert_eq!(Typed::read(" \n"), Ok(Typed::default()));
        let pasted = Typed::read("#a\tpush labels=\"a\tb\"").unwrap_or_default();
        assert_eq!(
            pasted.routes,
            [json!({ "channels": ["#a"], "events": ["push"], "labels": ["a b"] })]
        );
    }

    #[test]
    fn mistakes_name_their_lines() {
        let wrong = |text: &str| Typed::read(text).err().unwrap_or_default();
        assert_eq!(
            wrong("#a\n\npush\n#b"),
            "Line 3: There is no channel, such as #general."
        );
        assert_eq!(
            wrong("#a labels=\n#b drafts=x"),
            "Line 1: “labels=” has an empty value; write it like “branches=main,release/*”, without spaces. \
             Line 2: “drafts=x” has to be “true” or “false”."
        );
        assert_eq!(wrong(&"push\n".repeat(9)).matches("Line ").count(), 3);
        assert!(wrong("#a #<b>").starts_with("Line 1: #<b> is not a channel"));
        let eleven: Vec<String> = (0..11).map(|number| format!("#c{number}")).collect();
        assert_eq!(
            wrong(&eleven.join(" ")),
            "Line 1: There are 11 channels, but at most 10 are allowed."
        );
        assert_eq!(
            wrong("#a\n#b labels=\"a\u{7}b\""),
            "Line 2: It contains a character that cannot be shown."
        );
        assert_eq!(wrong(&"#a\n".repeat(50)), "");
        assert_eq!(
            wrong(&"#a\n".repeat(51)),
            "There are 51 routes, but at most 50 are allowed."
        );
    }

    #[test]
    fn only_what_is_read_as_the_same_is_shown() {
        for (routes, text) in [
            (json!(null), Some("")),
            (json!([]), Some("")),
            (
                json!([{ "channels": ["#a"], "labels": ["a b"] }, { "channels": ["C1"], "tags": true }]),
                Some("#a labels=\"a b\"\nC1 tags=true"),
            ),
            (json!([{ "channels": ["#a"], "labels": ["a\nb"] }]), None),
            (json!([{ "channels": ["#a"], "labels": ["a\u{7}b"] }]), None),
            (json!([{ "channels": ["CABC"] }]), None),
            // What another version may know.
            (json!([{ "channels": ["#a"], "weather": ["bad"] }]), None),
            (json!([{ "channels": ["#a"], "events": ["storm"] }]), None),
            (json!([{ "channels": [] }]), None),
            (json!([{ "channels": ["#a"], "tags": null }]), None),
        ] {
            assert_eq!(written(&routes).as_deref(), text, "{routes}");
        }
    }

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

    proptest! {
        #[test]
        fn any_text_is_shown_as_it_is_read(text in "([#\"a=, \n\r\t\u{7}\u{85}\\\\]|push|labels=){0,12}|\\PC*|(?s:.{0,9})") {
            if let Ok(typed) = Typed::read(&text) {
                let routes = json!(typed.routes);
                let shown = written(&routes);
                prop_assert!(shown.is_some(), "{}", routes);
                prop_assert_eq!(Typed::read(&shown.unwrap_or_default()).map(|it| it.routes), Ok(typed.routes));
            }
        }
    }
}
