//! Random settings and random events: nobody is notified whom a setting, a condition of a route or a person's choice excludes, by
//! whatever way the event goes. What is allowed is worked out here for each channel by itself, not route by route.
//!
//! LOCKSTEP_SEED=... repeats the choices of a run. What fails is made as small as it still fails.

use std::cell::{Cell, RefCell};
use std::io::{Write, stderr};

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::host;
use postgres::Client;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use crate::notification::filter::set;
use crate::notification::publish::{event, told};
use crate::random::seed;

const ROUNDS: u32 = 400;
const EVENTS_PER_ROUND: usize = 4;

/// Each try publishes nothing, so that many are quick.
const SHRINKING: u32 = 500;

const NAMES: [&str; 3] = ["ada", "bob", "cem"];
const LABELS: [&str; 3] = ["bug", "urgent", "docs"];
const BRANCHES: [&str; 3] = ["main", "topic", "release/1"];
const PATTERNS: [&str; 4] = ["main", "release/*", "*", "t*c"];
const CHANNELS: [&str; 5] = ["#a", "#b", "#c", "#d", "U3"];
const KINDS: [&str; 6] = [
    "push",
    "tag_push",
    "issue",
    "confidential_issue",
    "merge_request",
    "release",
];

/// Ada (3), Bob (4) and Cem (5) in Slack; Cem is no member.
const PEOPLE: &str = "
insert into users (id, username, organization_id) values (3, 'ada', 1), (4, 'bob', 1), (5, 'cem', 1);
insert into chat_names (user_id, team_id, chat_id) values (3, 'A', 'U3'), (4, 'A', 'U4'), (5, 'A', 'U5');
insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Namespace', 3), (10, 1, 'Project', 4)";

/// A list of so many of these.
fn list(of: &'static [&'static str], count: usize) -> impl Strategy<Value = Value> {
    vec(select(of), count).prop_map(Value::from)
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(of, 0..=of.len()).prop_map(Value::from)
}

/// A condition, one time in three.
fn maybe(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    weighted(1.0 / 3.0, value)
}

fn any_route() -> impl Strategy<Value = Value> {
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

fn any_settings() -> impl Strategy<Value = Value> {
    let settings = (
        some(&["#a", "#b"]),
        vec(weighted(1.0 / 6.0, select(&CHANNELS)), KINDS.len()),
        vec(any_route(), 0..4),
        any::<bool>(),
        weighted(0.5, some(&LABELS)),
        select(&["all", "default"]),
        any::<bool>(),
        weighted(0.25, select(&NAMES)),
        weighted(2.0 / 3.0, Just(())),
        some(&["assignees", "labels"]),
    );
    settings.prop_map(
        |(
            channels,
            of_kinds,
            routes,
            all_routes,
            labels,
            branches,
            own_actions,
            muted,
            mentions,
            changes,
        )| {
            let by_event = KINDS.iter().zip(of_kinds);
            let by_event = by_event.filter_map(|(kind, to)| Some(((*kind).to_owned(), json!([to?]))));
            json!({
                "channels": channels, "event_channels": by_event.collect::<Map<_, _>>(), "routes": routes, "all_routes": all_routes,
                "labels": labels.unwrap_or(json!([])), "branches": branches, "own_actions": own_actions,
                "muted_authors": muted.into_iter().collect::<Vec<_>>(), "mentions": mentions.is_some(), "changes": changes,
            })
        },
    )
}

/// An event, and its name in settings.
fn any_event() -> impl Strategy<Value = (&'static str, Value)> {
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
                "labels": labels, "assignees": ids, "reviewers": [], "changes": {change: {"previous": [], "current": []}},
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

/// What people have chosen: their ids, whether they want mentions and direct messages.
fn any_choices() -> impl Strategy<Value = Value> {
    vec(any::<(bool, bool, bool)>(), 3).prop_map(|choices| {
        let people = ["U3", "U4", "U5"].into_iter().zip(choices);
        let people = people.map(|(user, (mentions, direct_messages, own_actions))| {
            let choice = json!({"mentions": mentions, "direct_messages": direct_messages, "own_actions": own_actions});
            (user.to_owned(), choice)
        });
        Value::from(people.collect::<Map<_, _>>())
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

fn has(list: &Value, wanted: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.iter().any(|it| it == wanted))
}

/// What can be read from an event.
struct Seen<'a> {
    kind: &'a str,
    author: &'a str,
    labels: Vec<&'a str>,
    branch: Option<&'a str>,
    is_draft: Option<bool>,
    is_tag: bool,
}

impl<'a> Seen<'a> {
    fn of(kind: &'a str, event: &'a Value) -> Self {
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
    fn excluded_from(&self, route: &Value) -> bool {
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
    fn excluded_by(&self, settings: &Value, channel: &str) -> bool {
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

/// Why that channel must not be notified of the event, if so.
fn excluded(settings: &Value, seen: &Seen, event: &Value, channel: &str) -> Option<&'static str> {
    if has(&settings["muted_authors"], seen.author) {
        return Some("the author is muted");
    }
    if settings["own_actions"] == false && seen.author == "ada" && channel == "U3" {
        return Some("it is the reader's own action");
    }
    let changes = event["changes"].as_object().into_iter().flatten();
    if event["object_attributes"]["action"] == "update"
        && !changes
            .into_iter()
            .any(|(change, _)| has(&settings["changes"], change))
    {
        return Some("it is a mere update");
    }
    let routes = settings["routes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut fitting = routes.iter().filter(|route| !seen.excluded_from(route));
    let is_of = |route: &Value| has(&route["channels"], channel);
    let is_all = settings["all_routes"] == true;
    let first = fitting.next();
    let is_routed = first.is_some_and(is_of) || is_all && fitting.any(is_of);
    let is_left = first.is_none() || is_all;
    if is_routed || is_left && !seen.excluded_by(settings, channel) {
        return None;
    }
    Some("neither a route nor the settings send it there")
}

fn choose(client: &mut Client, choices: &Value) -> Result<()> {
    for (user, choice) in choices.as_object().into_iter().flatten() {
        let set = "select lockstep_api.set_slack_person('A', null, $1, $2::text::jsonb)";
        client.execute(set, &[user, &choice.to_string()])?;
    }
    Ok(())
}

/// Checks what becomes of an event; returns how many are notified.
fn check(
    client: &mut Client,
    settings: &Value,
    choices: &Value,
    kind: &str,
    event: &Value,
) -> Result<usize> {
    let rows = client.query(
        "select user_id, channels, outcome from lockstep.explain_event($1::text::jsonb) where route is null",
        &[&event.to_string()],
    )?;
    let seen = Seen::of(kind, event);
    let mut notified = 0;
    for row in rows {
        let (user, channels): (Option<i64>, Vec<String>) = (row.get(0), row.get(1));
        let outcome: String = row.get(2);
        let Some(user) = user else {
            for channel in &channels {
                let why = excluded(settings, &seen, event, channel);
                ensure!(
                    why.is_none(),
                    "{channel} is notified although {}",
                    why.unwrap_or_default()
                );
            }
            notified += channels.len();
            continue;
        };
        let choice = &choices[format!("U{user}")];
        let is_own = event["user"]["id"] == user && choice["own_actions"] == false;
        let is_message = !channels.is_empty();
        ensure!(
            settings["mentions"] == true,
            "{user} is mentioned although the project wants no mentions"
        );
        if outcome == "mentioned" || outcome == "queued" {
            ensure!(!is_own, "{user} is notified of what they did");
            let wish = if is_message {
                "direct_messages"
            } else {
                "mentions"
            };
            ensure!(choice[wish] == true, "{user} does not want {wish}");
            ensure!(!is_message || user != 5, "{user} has no access");
            notified += 1;
        }
    }
    Ok(notified)
}

#[test]
fn no_route_notifies_anybody_excluded() -> Result<()> {
    let seed = seed()?;
    writeln!(stderr(), "excluded: LOCKSTEP_SEED={seed}")?;
    let mut client = told("notification_excluded")?;
    host::run(&mut client, host::MEMBERS)?;
    client.batch_execute(PEOPLE)?;
    let client = RefCell::new(client);
    let notified = Cell::new(0);
    let round = |settings: &Value, choices: &Value, events: &[(&str, Value)]| -> Result<()> {
        let client = &mut *client.borrow_mut();
        client.batch_execute("delete from lockstep_internal.slack_notification")?;
        set(client, settings.clone())?;
        choose(client, choices)?;
        for (kind, event) in events {
            notified.set(notified.get() + check(client, settings, choices, kind, event)?);
        }
        Ok(())
    };
    let config = Config {
        cases: ROUNDS,
        max_shrink_iters: SHRINKING,
        // The seed replays it.
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let events = vec(any_event(), 1..=EVENTS_PER_ROUND);
    TestRunner::new_with_rng(config, rng)
        .run(
            &(any_settings(), any_choices(), events),
            |(settings, choices, events)| {
                round(&settings, &choices, &events)
                    .map_err(|error| TestCaseError::fail(format!("{error:#}")))
            },
        )
        .map_err(|error| anyhow!("LOCKSTEP_SEED={seed}: {error}"))?;
    // Otherwise it would prove nothing.
    let notified = notified.get();
    ensure!(
        notified > ROUNDS as usize / 2,
        "only {notified} were notified"
    );
    Ok(())
}
