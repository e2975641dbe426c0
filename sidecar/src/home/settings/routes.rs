//! The routes of the form: a line for each, in their order, as [`crate::route`] reads it.

use serde_json::{Value, json};

use super::lines::Kind;
use super::text::channels;
use crate::route;

pub(super) const ROUTES: &str = "routes";
pub(super) const ALL_ROUTES: &str = "all_routes";

/// The choices of [`ALL_ROUTES`].
pub(super) const FIRST: &str = "first";
pub(super) const ALL: &str = "all";

pub(super) const KIND: Kind = Kind {
    setting: ROUTES,
    most: 50,
    read,
};

fn read(line: &str) -> Result<Value, String> {
    let quoted = |word: &str| format!("“{word}”");
    let mut route = route::read(line).map_err(|wrong| wrong.text(quoted))?;
    let names = route["channels"].as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(Value::as_str).collect();
    route["channels"] = json!(channels(&names.join(" "))?);
    Ok(route)
}

/// The routes as they are typed; none if that would be read as others.
pub(super) fn written(routes: &Value) -> Option<String> {
    KIND.written(routes, route::written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{KIND, written};

    #[test]
    fn lines_are_routes_in_their_order() {
        let text = "#a push branches=main\n\n  \n#b, #a #b drafts=false\r\nC012";
        let typed = KIND.typed(text).unwrap_or_default();
        let routes = json!([
            { "channels": ["#a"], "events": ["push"], "branches": ["main"] },
            { "channels": ["#b", "#a"], "drafts": false },
            { "channels": ["C012"] },
        ]);
        assert_eq!(json!(typed.values), routes);
        assert_eq!(typed.line_of("routes", "routes[1].labels"), Some(4));
        let pasted = KIND.typed("#a\tpush labels=\"a\tb\"").unwrap_or_default();
        assert_eq!(
            pasted.values,
            [json!({ "channels": ["#a"], "events": ["push"], "labels": ["a b"] })]
        );
    }

    #[test]
    fn mistakes_name_their_lines() {
        let wrong = |text: &str| KIND.typed(text).err().unwrap_or_default();
        assert_eq!(
            wrong("#a\n\npush\n#b"),
            "Line 3: There is no channel, such as #general."
        );
        assert_eq!(
            wrong("#a labels=\n#b drafts=x"),
            "Line 1: “labels=” has an empty value; write it like “branches=main,release/*”, without spaces. \
             Line 2: “drafts=x” has to be “true” or “false”."
        );
        assert!(wrong("#a #<b>").starts_with("Line 1: #<b> is not a channel"));
        let eleven: Vec<String> = (0..11).map(|number| format!("#c{number}")).collect();
        assert_eq!(
            wrong(&eleven.join(" ")),
            "Line 1: There are 11 channels, but at most 10 are allowed."
        );
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

    proptest! {
        #[test]
        fn any_text_is_shown_as_it_is_read(text in "([#\"a=, \n\r\t\u{7}\u{85}\\\\]|push|labels=){0,12}|\\PC*|(?s:.{0,9})") {
            if let Ok(typed) = KIND.typed(&text) {
                let routes = json!(typed.values);
                let shown = written(&routes);
                prop_assert!(shown.is_some(), "{}", routes);
                prop_assert_eq!(KIND.typed(&shown.unwrap_or_default()).map(|it| it.values), Ok(typed.values));
            }
        }
    }
}
