//! Random settings and random events: nobody is notified whom a setting, a condition of a route or a person's choice excludes, by
//! whatever way the event goes. What is allowed is worked out here for each channel by itself, not route by route.
//!
//! LOCKSTEP_SEED=... repeats the choices of a run.

use std::io::{Write, stderr};

use anyhow::{Context, Result, ensure};
use lockstep_tests::host;
use postgres::Client;
use serde_json::{Map, Value, json};

use crate::notification::filter::set;
use crate::notification::publish::{event, told};
use crate::random::plan::Dice;
use crate::random::seed;

const ROUNDS: usize = 400;
const EVENTS_PER_ROUND: usize = 4;

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

fn some(dice: &mut Dice, of: &[&'static str]) -> Vec<&'static str> {
    of.iter().copied().filter(|_| dice.below(2) == 0).collect()
}

/// A condition, one time in three.
fn maybe(
    dice: &mut Dice,
    route: &mut Map<String, Value>,
    name: &str,
    value: impl FnOnce(&mut Dice) -> Value,
) {
    if dice.below(3) == 0 {
        route.insert(name.to_owned(), value(dice));
    }
}

fn any_route(dice: &mut Dice) -> Value {
    let mut route = Map::new();
    route.insert(
        "channels".to_owned(),
        json!([dice.one_of(&CHANNELS), dice.one_of(&CHANNELS)]),
    );
    maybe(dice, &mut route, "events", |dice| {
        json!([dice.one_of(&KINDS), dice.one_of(&KINDS)])
    });
    maybe(dice, &mut route, "branches", |dice| {
        json!([dice.one_of(&PATTERNS)])
    });
    maybe(dice, &mut route, "labels", |dice| {
        json!([dice.one_of(&LABELS)])
    });
    maybe(dice, &mut route, "without_labels", |dice| {
        json!([dice.one_of(&LABELS)])
    });
    maybe(dice, &mut route, "authors", |dice| {
        json!([dice.one_of(&NAMES)])
    });
    maybe(dice, &mut route, "without_authors", |dice| {
        json!([dice.one_of(&NAMES)])
    });
    maybe(dice, &mut route, "drafts", |dice| json!(dice.below(2) == 0));
    maybe(dice, &mut route, "tags", |dice| json!(dice.below(2) == 0));
    Value::from(route)
}

fn any_settings(dice: &mut Dice) -> Value {
    let routes: Vec<Value> = (0..dice.below(4)).map(|_| any_route(dice)).collect();
    let mut by_event = Map::new();
    for kind in KINDS {
        if dice.below(6) == 0 {
            by_event.insert(kind.to_owned(), json!([dice.one_of(&CHANNELS)]));
        }
    }
    json!({
        "channels": some(dice, &CHANNELS[..2]), "event_channels": by_event, "routes": routes, "all_routes": dice.below(2) == 0,
        "labels": if dice.below(2) == 0 { some(dice, &LABELS) } else { Vec::new() },
        "branches": dice.one_of(&["all", "default"]), "own_actions": dice.below(2) == 0,
        "muted_authors": if dice.below(4) == 0 { vec![dice.one_of(&NAMES)] } else { Vec::new() },
        "mentions": dice.below(3) > 0, "changes": some(dice, &["assignees", "labels"]),
    })
}

/// An event, and its name in settings.
fn any_event(dice: &mut Dice) -> (&'static str, Value) {
    let kind = dice.one_of(&KINDS);
    let author = dice.below(3);
    let more = match kind {
        "push" => json!({"ref": format!("refs/heads/{}", dice.one_of(&BRANCHES))}),
        "tag_push" => json!({"ref": "refs/tags/v1"}),
        "release" => json!({"action": "create", "tag": "v1"}),
        _ => {
            let reviewers: Vec<Value> = (3..6)
                .filter(|_| dice.below(2) == 0)
                .map(|id| json!({"id": id}))
                .collect();
            let titles = some(dice, &LABELS);
            let labels: Vec<Value> = titles.iter().map(|title| json!({"title": title})).collect();
            let change = dice.one_of(&["assignees", "labels", "title"]);
            json!({
                "labels": labels, "assignees": reviewers, "reviewers": [], "changes": {change: {"previous": [], "current": []}},
                "object_attributes": {
                    "action": dice.one_of(&["open", "open", "close", "update"]), "target_branch": dice.one_of(&BRANCHES), "author_id": 3,
                    "draft": dice.below(2) == 0, "confidential": kind == "confidential_issue",
                },
            })
        }
    };
    let object = if kind == "confidential_issue" {
        "issue"
    } else {
        kind
    };
    let mut event = event(object, 1, more);
    let name = NAMES[author as usize];
    event["user"] = json!({"id": 3 + author, "username": name});
    (kind, event)
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

/// What people have chosen: their ids, whether they want mentions and direct messages.
fn choose(client: &mut Client, dice: &mut Dice) -> Result<Value> {
    let mut all = json!({});
    for user in ["U3", "U4", "U5"] {
        let choices = json!({
            "mentions": dice.below(2) == 0, "direct_messages": dice.below(2) == 0, "own_actions": dice.below(2) == 0,
        });
        let set = "select lockstep_api.set_slack_person('A', null, $1, $2::text::jsonb)";
        client.execute(set, &[&user, &choices.to_string()])?;
        all[user] = choices;
    }
    Ok(all)
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
    let mut dice = Dice::new(seed, 0);
    let mut notified = 0;
    for round in 0..ROUNDS {
        let settings = any_settings(&mut dice);
        client.batch_execute("delete from lockstep_internal.slack_notification")?;
        set(&mut client, settings.clone())?;
        let choices = choose(&mut client, &mut dice)?;
        for _ in 0..EVENTS_PER_ROUND {
            let (kind, event) = any_event(&mut dice);
            notified +=
                check(&mut client, &settings, &choices, kind, &event).with_context(|| {
                    format!("LOCKSTEP_SEED={seed}, round {round}: {settings} {choices} {event}")
                })?;
        }
    }
    // Otherwise it would prove nothing.
    ensure!(notified > ROUNDS, "only {notified} were notified");
    Ok(())
}
