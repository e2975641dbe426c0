//! Routes as people type them, in commands and in the App Home: words such as `#docs push branches=main,release/*
//! labels="help wanted"`, in any order.

mod word;

use serde_json::{Map, Value, json};

use crate::database::EVENTS;
use crate::slack::shorten;

pub(crate) use word::words;
use word::{quoted, values};

/// What an event must fulfil: one of these values,
const LISTS: [&str; 8] = [
    "branches",
    "labels",
    "without_labels",
    "authors",
    "without_authors",
    "paths",
    "environments",
    "severities",
];

/// or true or false.
const FLAGS: [&str; 3] = ["drafts", "tags", "child_pipelines"];

const CHANNELS: &str = "channels";
const NAMED_EVENTS: &str = "events";

/// A word that is none of those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong<'a> {
    Event(&'a str),
    Condition(&'a str),
    Flag(&'a str),
    /// A condition without a value, or with nothing between two commas.
    Empty(&'a str),
    /// A quotation mark is missing, or is followed by more.
    Quoted(&'a str),
    /// True in one place, and false in another one.
    Twice(&'a str),
    NoChannel,
    /// It follows a comma and a space, which end the list.
    Apart(&'a str),
}

impl Wrong<'_> {
    /// `mark` sets off a word of the user.
    pub(crate) fn text(self, mark: fn(&str) -> String) -> String {
        let shown = |word: &str| mark(&shorten(word, 50));
        let example = mark("branches=main,release/*");
        match self {
            Self::Event(word) => {
                let names = EVENTS.iter().map(|event| event.name);
                let names: Vec<&str> = names.collect();
                format!(
                    "{} is neither a channel, such as #general, nor an event. Events are {}.",
                    shown(word),
                    names.join(", ")
                )
            }
            Self::Condition(word) => format!(
                "{} is not a condition. These are: {}.",
                shown(word),
                [&LISTS[..], &FLAGS[..]].concat().join(", ")
            ),
            Self::Flag(word) => format!(
                "{} has to be {} or {}.",
                shown(word),
                mark("true"),
                mark("false")
            ),
            Self::Empty(word) => format!(
                "{} has an empty value; write it like {example}, without spaces.",
                shown(word)
            ),
            Self::Quoted(word) => format!(
                "{} has a value that does not end with a quotation mark; write it like {}.",
                shown(word),
                mark("labels=\"help wanted\",bug")
            ),
            Self::Twice(word) => format!("{} says the opposite of an earlier word.", shown(word)),
            Self::Apart(word) => format!(
                "{} is neither a channel nor an event. A list has no space after its comma: {example}.",
                shown(word)
            ),
            Self::NoChannel => "There is no channel, such as #general.".to_owned(),
        }
    }
}

/// The name of an event, which may be written with hyphens.
pub(crate) fn event(word: &str) -> Option<&'static str> {
    let name = name_of(word);
    let found = EVENTS.iter().find(|event| event.name == name);
    found.map(|event| event.name)
}

fn name_of(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// Adds a condition to others, which all must hold. `decode` turns what Slack sends into what was typed.
pub(crate) fn add<'a>(
    route: &mut Map<String, Value>,
    word: &'a str,
    decode: fn(&str) -> String,
) -> Result<(), Wrong<'a>> {
    let (name, value) = condition(word, decode)?;
    // Given twice, both values count.
    match (route.get_mut(&name), value) {
        (None, value) => drop(route.insert(name, value)),
        (Some(Value::Array(before)), Value::Array(more)) => before.extend(more),
        (Some(before), value) if *before == value => {}
        _ => return Err(Wrong::Twice(word)),
    }
    Ok(())
}

fn condition(word: &str, decode: fn(&str) -> String) -> Result<(String, Value), Wrong<'_>> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let name = name_of(name);
    let value = value.trim_end_matches(',');
    if FLAGS.contains(&name.as_str()) {
        let flag = value.to_lowercase().parse::<bool>();
        return Ok((name, flag.map_err(|_| Wrong::Flag(word))?.into()));
    }
    if !LISTS.contains(&name.as_str()) {
        return Err(Wrong::Condition(word));
    }
    let values = values(value).ok_or(Wrong::Quoted(word))?;
    let values: Vec<String> = values.iter().map(|it| decode(it.trim())).collect();
    // The database leaves the sign away, and then what is empty: the route would lose its condition.
    let sign: &[char] = match name.as_str() {
        "labels" | "without_labels" => &['~'],
        "authors" | "without_authors" => &['@'],
        _ => &[],
    };
    if values
        .iter()
        .any(|it| it.trim_start_matches(sign).is_empty())
    {
        return Err(Wrong::Empty(word));
    }
    Ok((name, values.into()))
}

/// A route with its channels.
pub(crate) fn read(line: &str) -> Result<Value, Wrong<'_>> {
    let mut route = Map::new();
    let (mut channels, mut events) = (Vec::new(), Vec::new());
    let mut is_list = false;
    for word in words(line) {
        if is_channel(word) {
            channels.push(word);
        } else if word.contains('=') {
            add(&mut route, word, str::to_owned)?;
        } else {
            let wrong = match is_list {
                true => Wrong::Apart(word),
                false => Wrong::Event(word),
            };
            events.push(event(word).ok_or(wrong)?);
        }
        is_list = word.contains('=') && word.ends_with(',');
    }
    if channels.is_empty() {
        return Err(Wrong::NoChannel);
    }
    route.insert(CHANNELS.to_owned(), json!(channels));
    if !events.is_empty() {
        route.insert(NAMED_EVENTS.to_owned(), json!(events));
    }
    Ok(route.into())
}

/// A name with its #, or one of Slack's ids.
fn is_channel(word: &str) -> bool {
    let is_id = |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit();
    let has_digit = word.bytes().any(|letter| letter.is_ascii_digit());
    let is_id = word.starts_with(['C', 'D', 'G', 'U', 'W']) && word.bytes().all(is_id);
    word.strip_prefix('#').is_some_and(|name| !name.is_empty()) || is_id && has_digit
}

/// A route as it is typed.
pub(crate) fn written(route: &Value) -> String {
    let texts = |value: &Value| -> Vec<String> {
        let values = value.as_array().into_iter().flatten();
        let texts = values.filter_map(Value::as_str);
        texts.map(|text| quoted(text).into_owned()).collect()
    };
    let fields = route.as_object().into_iter().flatten();
    let conditions = fields.filter(|(name, _)| ![CHANNELS, NAMED_EVENTS].contains(&name.as_str()));
    let conditions = conditions.map(|(name, value)| match value {
        Value::Array(_) => format!("{name}={}", texts(value).join(",")),
        value => format!("{name}={value}"),
    });
    let words = [texts(&route[CHANNELS]), texts(&route[NAMED_EVENTS])];
    let words: Vec<String> = words.into_iter().flatten().chain(conditions).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{EVENTS, FLAGS, LISTS, Wrong, read, words, written};

    #[test]
    fn a_line_is_a_route() {
        for (line, route) in [
            ("#a", json!({"channels": ["#a"]})),
            (
                " #a, C0123,#b-c=d  push,Tag-Push",
                json!({"channels": ["#a", "C0123", "#b-c=d"], "events": ["push", "tag_push"]}),
            ),
            // An event in capitals is no id.
            (
                "DEPLOYMENT #a",
                json!({"channels": ["#a"], "events": ["deployment"]}),
            ),
            (
                "branches=main,release/* #a drafts=FALSE, push",
                json!({"channels": ["#a"], "events": ["push"], "branches": ["main", "release/*"], "drafts": false}),
            ),
            (
                "#a push,branches=main,a=b,",
                json!({"channels": ["#a"], "events": ["push"], "branches": ["main", "a=b"]}),
            ),
            (
                r#"#a labels="help wanted",bug,"a, \"b\" \\" Without-Labels=“not me”,x"y"#,
                json!({"channels": ["#a"], "labels": ["help wanted", "bug", "a, \"b\" \\"],
                       "without_labels": ["not me", "x\"y"]}),
            ),
            (
                "#a labels=type::bug labels=b tags=true tags=true",
                json!({"channels": ["#a"], "labels": ["type::bug", "b"], "tags": true}),
            ),
            (
                r#"#a paths="a\b c","\\x","\„""#,
                json!({"channels": ["#a"], "paths": ["a\\b c", "\\x", "„"]}),
            ),
            // The database leaves signs away only where they are signs.
            (
                "#a branches=~,@ labels=@ authors=~",
                json!({"channels": ["#a"], "branches": ["~", "@"], "labels": ["@"], "authors": ["~"]}),
            ),
            (
                "#a authors=@ada paths=docs/*,\\x severities=high environments=*",
                json!({"channels": ["#a"], "authors": ["@ada"], "paths": ["docs/*", "\\x"], "severities": ["high"], "environments": ["*"]}),
            ),
        ] {
            assert_eq!(read(line), Ok(route), "{line}");
        }
    }

    #[test]
    fn a_wrong_word_is_told() {
        for (line, wrong) in [
            ("", Wrong::NoChannel),
            ("push branches=main", Wrong::NoChannel),
            ("#a pushes", Wrong::Event("pushes")),
            ("general push", Wrong::Event("general")),
            ("# push", Wrong::Event("#")),
            ("#a <!channel>", Wrong::Event("<!channel>")),
            // The space ends the condition.
            ("#a branches=main, release/*", Wrong::Apart("release/*")),
            ("#a branches=main dev", Wrong::Event("dev")),
            ("#a branch=main", Wrong::Condition("branch=main")),
            ("#a =x", Wrong::Condition("=x")),
            ("#a channels=#b", Wrong::Condition("channels=#b")),
            ("#a events=push", Wrong::Condition("events=push")),
            ("#a drafts=no", Wrong::Flag("drafts=no")),
            ("#a drafts=true,false", Wrong::Flag("drafts=true,false")),
            ("#a drafts=true drafts=false", Wrong::Twice("drafts=false")),
            ("#a labels=", Wrong::Empty("labels=")),
            ("#a labels=a,,b", Wrong::Empty("labels=a,,b")),
            ("#a labels=\" \"", Wrong::Empty("labels=\" \"")),
            // Without the sign nothing is left.
            ("#a labels=a,~", Wrong::Empty("labels=a,~")),
            ("#a authors=@", Wrong::Empty("authors=@")),
            ("#a paths=\"\"", Wrong::Empty("paths=\"\"")),
            ("#a labels=\"a b", Wrong::Quoted("labels=\"a b")),
            ("#a labels=\"a\\\"", Wrong::Quoted("labels=\"a\\\"")),
            ("#a labels=\"a\"b", Wrong::Quoted("labels=\"a\"b")),
        ] {
            assert_eq!(read(line), Err(wrong), "{line}");
            let text = wrong.text(|word| format!("<{word}>"));
            assert!(text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn what_is_stored_is_shown_as_it_is_typed() {
        let route = json!({
            "channels": ["#a", "C1"], "events": ["push", "note"], "branches": ["release/*", "a=b"],
            "without_labels": ["help wanted", "“x”", "a\"b"], "drafts": false,
        });
        assert_eq!(
            written(&route),
            r#"#a C1 push note branches=release/*,a=b drafts=false without_labels="help wanted","\“x\”",a"b"#
        );
        assert_eq!(read(&written(&route)), Ok(route));
    }

    /// Any that the database may have stored, of one line.
    fn route() -> impl Strategy<Value = Value> {
        let channel = prop_oneof![
            "#[a-zü0-9_=:|-]{1,10}",
            "[CGDUW][A-Z]{0,3}[0-9][A-Z0-9]{0,5}"
        ];
        let names: Vec<&str> = EVENTS.iter().map(|event| event.name).collect();
        let event = prop::sample::select(names);
        let value = prop_oneof!["[^\\s~@]([^\\n\\r]{0,8}[^\\s])?", "[\"“”„\\\\,= x]{0,6}x"];
        let values = prop::collection::vec(value.prop_map(|it| it.trim().to_owned()), 1..4);
        (
            prop::collection::vec(channel, 1..4),
            prop::collection::vec(event, 0..4),
            prop::collection::btree_map(prop::sample::select(&LISTS[..]), values, 0..4),
            prop::collection::btree_map(prop::sample::select(&FLAGS[..]), any::<bool>(), 0..3),
        )
            .prop_map(|(channels, events, lists, flags)| {
                let mut route = json!({ "channels": channels });
                if !events.is_empty() {
                    route["events"] = json!(events);
                }
                for (name, list) in lists {
                    route[name] = json!(list);
                }
                for (name, flag) in flags {
                    route[name] = json!(flag);
                }
                route
            })
    }

    proptest! {
        #[test]
        fn any_route_survives_the_way(route in route()) {
            let line = written(&route);
            prop_assert_eq!(read(&line), Ok(route), "{}", line);
        }

        #[test]
        fn any_text_is_survived(text: String) {
            for word in words(&text) {
                prop_assert!(!word.is_empty() && text.contains(word));
            }
            if let Ok(route) = read(&text) {
                let line = written(&route);
                prop_assert_eq!(read(&line), Ok(route));
            }
        }
    }
}
