//! Random events and routes, and what a route must not have: worked out here by itself.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Strategy, any};
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use crate::notification::publish::event;

/// Each try publishes nothing, so that many are quick.
const SHRINKING: u32 = 500;

pub(crate) const NAMES: [&str; 3] = ["ada", "bob", "cem"];
pub(crate) const LABELS: [&str; 3] = ["bug", "urgent", "docs"];
const BRANCHES: [&str; 3] = ["main", "topic", "release/1"];
const PATTERNS: [&str; 4] = ["main", "release/*", "*", "t*c"];
pub(crate) const CHANNELS: [&str; 5] = ["#a", "#b", "#c", "#d", "U3"];
pub(crate) const KINDS: [&str; 6] = [
    "push",
    "tag_push",
    "issue",
    "confidential_issue",
    "merge_request",
    "release",
];

/// Tries so many cases, always the same ones of a seed.
pub(crate) fn runner(cases: u32, seed: u64) -> TestRunner {
    let config = Config {
        cases,
        max_shrink_iters: SHRINKING,
        // The seed replays it.
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// A list of so many of these.
fn list(of: &'static [&'static str], count: usize) -> impl Strategy<Value = Value> {
    vec(select(of), count).prop_map(Value::from)
}

pub(crate) fn some(of: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(of, 0..=of.len()).prop_map(Value::from)
}

/// A condition, one time in three.
fn maybe(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    weighted(1.0 / 3.0, value)
}

pub(crate) fn any_route() -> impl Strategy<Value = Value> {
    let either = || any::<bool>().prop_map(Value::from);
    let conditions = (
        list(&CHANNELS, 2),
        maybe(list(&KINDS, 2)),
        maybe(list(&PATTERNS, 1)),
        maybe(list(&LABELS, 1)),
        maybe(list(&LABELS, 1)),
        maybe(list(&NAMES, 1)),
        maybe(list(&NAMES, 1)),
        maybe(either()),
        maybe(either()),
    );
    conditions.prop_map(
        |(channels, events, branches, labels, no_labels, authors, no_authors, drafts, tags)| {
            let conditions = [
                ("channels", Some(channels)),
                ("events", events),
                ("branches", branches),
                ("labels", labels),
                ("without_labels", no_labels),
                ("authors", authors),
                ("without_authors", no_authors),
                ("drafts", drafts),
                ("tags", tags),
            ];
            let given = conditions.into_iter();
            let given = given.filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::from(given.collect::<Map<_, _>>())
        },
    )
}

/// An event, and its name in settings.
pub(crate) fn any_event() -> impl Strategy<Value = (&'static str, Value)> {
    let parts = (
        select(&KINDS),
        0..NAMES.len(),
        select(&BRANCHES),
        subsequence(&[3, 4, 5], 0..=3),
        subsequence(&LABELS, 0..=LABELS.len()),
        select(&["assignees", "labels", "title"]),
        select(&["open", "open", "close", "update"]),
        any::<bool>(),
    );
    parts.prop_map(|(kind, author, branch, assignees, labels, change, action, draft)| {
        let ids: Vec<Value> = assignees.iter().map(|id| json!({"id": id})).collect();
        let labels: Vec<Value> = labels.iter().map(|it| json!({"title": it})).collect();
        let more = match kind {
            "push" => json!({"ref": format!("refs/heads/{branch}")}),
            "tag_push" => json!({"ref": "refs/tags/v1"}),
            "release" => json!({"action": "create", "tag": "v1"}),
            _ => json!({
                "labels": labels, "assignees": ids, "reviewers": [], "changes": {change: {"previous": [], "current": [{"id": 9, "title": "new"}]}},
                "object_attributes": {
                    "action": action, "target_branch": branch, "author_id": 3, "draft": draft, "confidential": kind == "confidential_issue",
                },
            }),
        };
        let object = match kind {
            "confidential_issue" => "issue",
            kind => kind,
        };
        let mut event = event(object, 1, more);
        event["user"] = json!({"id": 3 + author, "username": NAMES[author]});
        (kind, event)
    })
}

/// Whether one pattern of a list fits; without a list anything does.
fn fits(patterns: &Value, text: Option<&str>) -> bool {
    let Some(patterns) = patterns.as_array() else {
        return true;
    };
    patterns
        .iter()
        .filter_map(Value::as_str)
        .any(|pattern| match (pattern.split_once('*'), text) {
            (_, None) => false,
            (None, Some(text)) => pattern == text,
            (Some((start, end)), Some(text)) => {
                text.len() >= start.len() + end.len()
                    && text.starts_with(start)
                    && text.ends_with(end)
            }
        })
}

pub(crate) fn has(list: &Value, wanted: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.iter().any(|it| it == wanted))
}

/// What can be read from an event.
pub(crate) struct Seen<'a> {
    pub(crate) kind: &'a str,
    pub(crate) author: &'a str,
    labels: Vec<&'a str>,
    pub(crate) branch: Option<&'a str>,
    is_draft: Option<bool>,
    is_tag: bool,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(kind: &'a str, event: &'a Value) -> Self {
        let labels = event["labels"].as_array().into_iter().flatten();
        let attributes = &event["object_attributes"];
        Self {
            kind,
            author: event["user"]["username"].as_str().unwrap_or_default(),
            labels: labels.filter_map(|it| it["title"].as_str()).collect(),
            branch: match kind {
                "push" => event["ref"]
                    .as_str()
                    .and_then(|it| it.strip_prefix("refs/heads/")),
                "merge_request" => attributes["target_branch"].as_str(),
                _ => None,
            },
            is_draft: attributes["draft"]
                .as_bool()
                .filter(|_| kind == "merge_request"),
            is_tag: kind == "tag_push" || kind == "release",
        }
    }

    /// Why a route must not have it, if so.
    pub(crate) fn excluded_from(&self, route: &Value) -> bool {
        let is_label = |list: &Value| self.labels.iter().any(|label| has(list, label));
        let is_named = has(&route["events"], self.kind);
        let needs_name = ["confidential_issue", "release"].contains(&self.kind);
        !(is_named || route["events"].is_null() && !needs_name)
            || !fits(&route["branches"], self.branch)
            || !route["labels"].is_null() && !is_label(&route["labels"])
            || is_label(&route["without_labels"])
            || !route["authors"].is_null() && !has(&route["authors"], self.author)
            || has(&route["without_authors"], self.author)
            || route["drafts"]
                .as_bool()
                .is_some_and(|wanted| self.is_draft != Some(wanted))
            || route["tags"]
                .as_bool()
                .is_some_and(|wanted| self.is_tag != wanted)
    }

    /// Whether the settings besides routes must not send it to that channel.
    pub(crate) fn excluded_by(&self, settings: &Value, channel: &str) -> bool {
        let own = |kind: &str| Some(&settings["event_channels"][kind]).filter(|it| it.is_array());
        let channels = match self.kind {
            "confidential_issue" => own("confidential_issue").or_else(|| own("issue")),
            kind => own(kind),
        };
        let channels = channels.or((self.kind != "release").then_some(&settings["channels"]));
        let wanted = settings["labels"].as_array().map_or(&[][..], Vec::as_slice);
        let can_have = ["issue", "confidential_issue", "merge_request"].contains(&self.kind);
        let is_wanted = !can_have
            || wanted.is_empty()
            || wanted
                .iter()
                .any(|it| self.labels.iter().any(|label| it == label));
        let is_other_branch =
            self.kind == "push" && settings["branches"] == "default" && self.branch != Some("main");
        !channels.is_some_and(|channels| has(channels, channel)) || !is_wanted || is_other_branch
    }
}
