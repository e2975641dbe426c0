//! Each kind of message as it is sent, and what holds for all of them, whatever the payload.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::{fs, io};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{KINDS, Message, render};

fn room(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/notification/message")
        .join(name)
}

/// The JSON files of a directory, by their names.
fn files(directory: &Path) -> io::Result<BTreeMap<String, Value>> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let content = fs::read_to_string(&path)?;
            files.insert(name.into_owned(), serde_json::from_str(&content)?);
        }
    }
    Ok(files)
}

/// `LOCKSTEP_BLESS=1` writes the snapshots anew.
#[test]
fn messages_are_as_they_were() -> io::Result<()> {
    let (samples, snapshots) = (files(&room("samples"))?, room("snapshots"));
    assert!(samples.len() > 80, "{} samples", samples.len());
    if env::var_os("LOCKSTEP_BLESS").is_some_and(|bless| bless == "1") {
        for name in files(&snapshots)?.keys() {
            fs::remove_file(snapshots.join(format!("{name}.json")))?;
        }
        for (name, event) in &samples {
            let message = render(event).arguments("C0123456789");
            let text = serde_json::to_string_pretty(&message)?;
            fs::write(snapshots.join(format!("{name}.json")), text + "\n")?;
        }
    }
    let expected = files(&snapshots)?;
    assert!(
        samples.keys().eq(expected.keys()),
        "a sample or a snapshot is missing"
    );
    for (name, event) in &samples {
        let message = render(event);
        assert_eq!(wrong(&message), Vec::<String>::new(), "{name}");
        assert_eq!(message.arguments("C0123456789"), expected[name], "{name}");
    }
    Ok(())
}

#[test]
fn every_kind_has_a_sample() -> io::Result<()> {
    let samples = files(&room("samples"))?;
    for (kind, _) in KINDS {
        assert!(
            samples.values().any(|event| event["object_kind"] == kind),
            "{kind}"
        );
    }
    Ok(())
}

/// The samples of GitLab's own documents, where they are.
#[test]
fn messages_of_real_payloads_are_right() -> io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/gitlab-webhooks");
    if !directory.is_dir() {
        return Ok(());
    }
    for (name, event) in files(&directory)? {
        if !event["object_kind"].is_string() {
            continue;
        }
        let message = render(&event);
        assert_eq!(wrong(&message), Vec::<String>::new(), "{name}");
        assert!(message.text.len() > 20, "{name}: {}", message.text);
        assert!(
            !message.text.contains("without a"),
            "{name}: {}",
            message.text
        );
    }
    Ok(())
}

/// An update leaves alone what it is not given: then what is updated must not change between blocks and attachments.
#[test]
fn what_may_be_updated_has_a_colour_always_or_never() -> io::Result<()> {
    for (name, event) in files(&room("samples"))? {
        let has_color = render(&event).color.is_some();
        match event["object_kind"].as_str() {
            Some("pipeline") => assert!(has_color, "{name}"),
            Some("merge_request") => assert!(!has_color, "{name}"),
            _ => {}
        }
    }
    Ok(())
}

/// What Slack would refuse, or take for more than text.
fn wrong(message: &Message) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |is_right: bool, what: String| {
        if !is_right {
            wrong.push(what);
        }
    };
    let length = |text: &str| text.chars().count();
    let mut texts = vec![("text", message.text.as_str(), 4_000)];
    check(
        (1..=50).contains(&message.blocks.len()),
        "number of blocks".to_owned(),
    );
    for block in &message.blocks {
        let of = |list: &'static str| block[list].as_array().cloned().unwrap_or_default();
        let (fields, elements) = (of("fields"), of("elements"));
        check(
            fields.len() <= 10 && elements.len() <= 10,
            format!("number of parts: {block}"),
        );
        let text = block.get("text").map(|text| ("section", text, 3_000));
        let fields = block["fields"].as_array().into_iter().flatten();
        let elements = block["elements"].as_array().into_iter().flatten();
        let parts = text.into_iter();
        let parts = parts.chain(fields.map(|field| ("field", field, 2_000)));
        for (part, object, longest) in
            parts.chain(elements.map(|element| ("context", element, 2_000)))
        {
            check(
                object["type"] == "mrkdwn" && object["verbatim"] == true,
                format!("{part}: {object}"),
            );
            texts.push((part, object["text"].as_str().unwrap_or_default(), longest));
        }
    }
    for (part, text, longest) in texts {
        check(
            (1..=longest).contains(&length(text)),
            format!("{part} of {} characters", length(text)),
        );
        check(
            is_harmless(text, part != "text"),
            format!("{part}: {text:?}"),
        );
        let hidden = [
            '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{2060}', '\0', '\r',
        ];
        check(
            !text.contains(hidden),
            format!("{part} hides something: {text:?}"),
        );
    }
    wrong
}

/// Whether all that Slack reads as markup is ours: links to pages and times, balanced code, and escaped characters.
fn is_harmless(text: &str, has_markup: bool) -> bool {
    let mut rest = text;
    let mut outside = String::new();
    while let Some((before, after)) = rest.split_once('<') {
        outside.push_str(before);
        let Some((inner, after)) = after.split_once('>') else {
            return false;
        };
        let Some((target, label)) = inner.split_once('|') else {
            return false;
        };
        let is_page = target.starts_with("https://") || target.starts_with("http://");
        let is_ours = is_page || target.starts_with("!date^");
        let is_printable = target
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !has_markup
            || !is_ours
            || !is_printable
            || label.is_empty()
            || label.contains(['<', '|', '`', '\n'])
        {
            return false;
        }
        outside.push_str("link");
        outside.push_str(label);
        rest = after;
    }
    outside.push_str(rest);
    let mut entities = outside.split('&').skip(1);
    let is_escaped = entities.all(|entity| {
        ["amp;", "lt;", "gt;"]
            .iter()
            .any(|known| entity.starts_with(known))
    });
    let has_whole_code = outside
        .lines()
        .all(|line| line.matches('`').count() % 2 == 0);
    is_escaped && !outside.contains('>') && has_whole_code && !outside.contains("``")
}

/// What the fields of payloads are called.
const FIELDS: [&str; 72] = [
    "object_attributes",
    "project",
    "user",
    "user_name",
    "user_username",
    "commits",
    "commit",
    "builds",
    "labels",
    "assignees",
    "reviewers",
    "changes",
    "previous",
    "current",
    "merge_request",
    "issue",
    "snippet",
    "epic",
    "work_item",
    "mentioned",
    "group",
    "title",
    "name",
    "username",
    "iid",
    "id",
    "url",
    "web_url",
    "homepage",
    "path_with_namespace",
    "full_path",
    "description",
    "note",
    "noteable_type",
    "message",
    "action",
    "status",
    "state",
    "ref",
    "before",
    "after",
    "sha",
    "author",
    "tag",
    "stage",
    "stages",
    "allow_failure",
    "duration",
    "finished_at",
    "started_at",
    "updated_at",
    "status_changed_at",
    "environment",
    "short_sha",
    "commit_url",
    "commit_title",
    "deployable_id",
    "deployable_url",
    "user_url",
    "severity",
    "events",
    "report_type",
    "location",
    "identifiers",
    "issues",
    "file",
    "dependency",
    "slug",
    "diff_url",
    "total_commits_count",
    "source_branch",
    "yaml_errors",
];

/// What is found in them, and worse.
const WORDS: [&str; 40] = [
    "<!channel>",
    "<!here|x>",
    "<@U123>",
    "<#C1|general>",
    "<https://evil.example|good>",
    "[good](https://evil.example)",
    "*",
    "_",
    "~",
    "`",
    "```",
    ">>>",
    "&",
    "&lt;",
    "<",
    ">",
    "|",
    "\n",
    "\r\n",
    "\u{202e}",
    "\u{200b}",
    "\0",
    "👩\u{200d}🚀",
    "e\u{301}",
    "中文",
    "https://gitlab.example.com/a?b=1&c=2",
    "http://x.example/|>`",
    "javascript:alert(1)",
    "2024-05-06T07:08:09Z",
    "Issue",
    "MergeRequest",
    "Incident",
    "open",
    "update",
    "failed",
    "success",
    "refs/heads/main",
    "refs/tags/v1",
    "0000000000000000000000000000000000000000",
    "<!date^1^{date}|x>",
];

fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        2 => "[a-z0-9 ]{1,12}",
        1 => "\\PC{0,12}",
        1 => ".{0,12}",
    ];
    let text = proptest::collection::vec(word, 0..6).prop_map(|words| words.concat());
    // Now and then one that is too long for any place.
    prop_oneof![40 => text.clone(), 1 => (text, 100..1_000_usize).prop_map(|(text, times)| text.repeat(times))]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        12 => any_text().prop_map(Value::from),
    ];
    let nested = leaf.clone().prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            2 => object(inner, 6),
        ]
    });
    prop_oneof![6 => leaf, 1 => nested]
}

fn object(inner: impl Strategy<Value = Value>, most: usize) -> impl Strategy<Value = Value> {
    let field = (proptest::sample::select(&FIELDS[..]), inner);
    proptest::collection::vec(field, 0..most).prop_map(|fields| fields.into_iter().collect())
}

fn any_kind() -> impl Strategy<Value = &'static str> {
    let kinds: Vec<&'static str> = KINDS
        .iter()
        .map(|(kind, _)| *kind)
        .chain(["emoji"])
        .collect();
    proptest::sample::select(kinds)
}

/// Anything where payloads have something.
fn any_event() -> impl Strategy<Value = Value> {
    let parts = [
        "object_attributes",
        "user",
        "project",
        "issue",
        "mentioned",
        "changes",
    ];
    let parts = parts.map(|part| (Just(part), object(any_json(), 40)));
    let lists = ["commits", "builds", "labels", "assignees", "reviewers"];
    let lists = lists.map(|list| {
        let items = proptest::collection::vec(object(any_json(), 12), 0..3);
        (Just(list), items.prop_map(Value::from))
    });
    (any_kind(), object(any_json(), 12), parts, lists).prop_map(
        |(kind, mut event, parts, lists)| {
            for (name, value) in parts.into_iter().chain(lists) {
                event[name] = value;
            }
            event["object_kind"] = json!(kind);
            event
        },
    )
}

/// One of the samples, with another value in some of its fields.
fn changed_sample() -> impl Strategy<Value = Value> {
    let samples: Vec<Value> = files(&room("samples"))
        .unwrap_or_default()
        .into_values()
        .collect();
    let change = (any::<proptest::sample::Index>(), any_json());
    (
        proptest::sample::select(samples),
        proptest::collection::vec(change, 1..6),
    )
        .prop_map(|(mut sample, changes)| {
            for (place, value) in changes {
                let mut pointers = Vec::new();
                point(&sample, String::new(), &mut pointers);
                let pointer = place.get(&pointers).clone();
                if pointer != "/object_kind"
                    && let Some(field) = sample.pointer_mut(&pointer)
                {
                    *field = value;
                }
            }
            sample
        })
}

/// Where everything in a value is.
fn point(value: &Value, path: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                point(field, format!("{path}/{name}"), pointers);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                point(item, format!("{path}/{place}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(path);
}

proptest! {
    #[test]
    fn any_payload_becomes_a_message_that_slack_takes(event in any_event()) {
        prop_assert_eq!(wrong(&render(&event)), Vec::<String>::new());
    }

    #[test]
    fn a_payload_with_odd_fields_becomes_a_message_that_slack_takes(event in changed_sample()) {
        prop_assert_eq!(wrong(&render(&event)), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_object_becomes_a_message_too(event in any_json()) {
        prop_assert_eq!(wrong(&render(&event)), Vec::<String>::new());
    }
}
