//! What is wrong: it comes first on the page, and in its title.

use std::collections::HashSet;

use maud::{Markup, html};

use crate::database::Workspace;
use crate::page::landing::trouble;
use crate::page::markup::marked;
use crate::page::report::{Report, length};
use crate::slack::{advice, code, escape};
use crate::text::{duration, number, plural};
use crate::trouble::of_channels;

/// What waits for longer waits for something.
const LONG: f64 = 600.0;

pub(super) struct Problem {
    /// As Slack's markup.
    text: String,
    /// The id of the part of the page that says more.
    part: &'static str,
}

pub(super) fn of(
    report: &Report,
    workspaces: Option<&[Workspace]>,
    has_drift_failed: bool,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |part, text| found.push(Problem { text, part });
    if report.is_held {
        add(
            "held",
            "This database is a copy: nothing runs and nothing is sent".to_owned(),
        );
    }
    if report.troubles.is_none() {
        add(
            "messages",
            "Channels that cannot be reached are not known: the database cannot read the integrations"
                .to_owned(),
        );
    }
    for it in report.troubles.iter().flatten() {
        let names: Vec<String> = it.names.iter().map(|name| code(name)).collect();
        let names = names.join(", ");
        let names = match it.channels - it.names.len() as i64 {
            ..=0 => names,
            more => format!("{names} and {} more", number(more)),
        };
        let text = of_channels(&names, &it.error, it.needed.as_deref(), it.messages);
        add("messages", text);
    }
    if report.has_more_troubles {
        add(
            "messages",
            "There are more channels that cannot be reached: only those that failed last are looked at"
                .to_owned(),
        );
    }
    for it in report.failures.iter().filter(|it| it.in_no_trouble > 0) {
        let text = format!(
            "{} {} not sent within a day: {}",
            number(it.in_no_trouble),
            plural(it.in_no_trouble, "message was", "messages were"),
            advice(&it.error, it.needed.as_deref())
        );
        add("messages", text);
    }
    if workspaces.is_none() {
        add("messages", "The installations cannot be listed".to_owned());
    }
    for it in workspaces.unwrap_or_default() {
        if let Some(trouble) = trouble(it) {
            add("workspaces", format!("{}: {trouble}", escape(&it.name)));
        }
    }
    if let Some(seconds) = report.deliveries.oldest_seconds.filter(|it| *it >= LONG) {
        add(
            "messages",
            format!(
                "A message has been waiting for {}",
                duration(length(seconds))
            ),
        );
    }
    for it in &report.queue {
        if it.dead > 0 {
            add(
                "jobs",
                format!(
                    "{} {} of {} failed for good",
                    number(it.dead),
                    plural(it.dead, "job", "jobs"),
                    escape(&it.worker)
                ),
            );
        }
        if let Some(seconds) = it.oldest_seconds.filter(|it| *it >= LONG) {
            add(
                "jobs",
                format!(
                    "A job of {} has been waiting or running for {}",
                    escape(&it.worker),
                    duration(length(seconds))
                ),
            );
        }
    }
    let mut seen = HashSet::new();
    for it in &report.backfills {
        // The last run of each comes first, and replaces what was wrong with the ones before.
        if !seen.insert((&it.job, &it.target_table)) {
            continue;
        }
        let run = format!(
            "Backfill {} of {}",
            escape(&it.job),
            escape(&it.target_table)
        );
        match (&*it.status, it.held_cause.as_deref()) {
            ("failed", _) => add("backfills", format!("{run} failed")),
            ("running", Some("no_worker")) => add("backfills", format!("{run} has no worker")),
            _ if it.set_aside > 0 => add("backfills", format!("{run} has set ranges aside")),
            _ => {}
        }
    }
    for it in &report.cache_columns {
        if it.state != "active" {
            add(
                "drift",
                format!(
                    "{}.{} is not maintained: {}",
                    escape(&it.table),
                    escape(&it.column),
                    it.state
                ),
            );
        }
    }
    for it in &report.drift {
        if let Some(rows) = it.rows.filter(|rows| *rows > 0) {
            add(
                "drift",
                format!(
                    "{} of {} {}",
                    plural(rows, "1 row", &format!("{} rows", number(rows))),
                    escape(&it.what),
                    plural(rows, "differs", "differ")
                ),
            );
        }
    }
    if has_drift_failed {
        add(
            "drift",
            "The rows that differ could not be counted".to_owned(),
        );
    }
    found
}

/// The title of the page.
pub(super) fn title(problems: &[Problem]) -> String {
    match problems.len() {
        0 => "Status".to_owned(),
        1 => "1 problem · Status".to_owned(),
        several => format!("{several} problems · Status"),
    }
}

/// More than fit on a screen would hide what is below.
const MOST: usize = 10;

pub(super) fn list(problems: &[Problem]) -> Markup {
    html! {
        section #problems aria-label="Problems" {
            @if problems.is_empty() { p.good { "No problems." } }
            @else {
                ul.problems {
                    @for it in problems.iter().take(MOST) { li { a href={ "#" (it.part) } { (marked(&it.text)) } } }
                    @if problems.len() > MOST { li { "and " (problems.len() - MOST) " more, below" } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::{list, of, title};
    use crate::page::report::Report;

    fn texts(report: serde_json::Value) -> Vec<String> {
        let report = Report::deserialize(report).unwrap_or_default();
        of(&report, Some(&[]), false)
            .into_iter()
            .map(|it| it.text)
            .collect()
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert_eq!(texts(json!({})), [""; 0]);
        let found = texts(json!({
            "is_held": true,
            "troubles": [{ "error": "is_archived", "messages": 2, "channels": 3, "names": ["#old", "#older"] }],
            "deliveries": { "oldest_seconds": 7500 },
            "queue": [{ "worker": "A", "dead": 1, "oldest_seconds": 5 }, { "worker": "B", "oldest_seconds": 600 }],
            "backfills": [
                { "job": "j", "target_table": "t", "status": "failed", "set_aside": 3 },
                { "job": "j", "target_table": "t", "status": "failed" },
                { "job": "k", "target_table": "t", "status": "running", "held_cause": "no_worker" },
                { "job": "l", "target_table": "t", "status": "running", "held_cause": "vacuum" },
            ],
            "cache_columns": [{ "table": "t", "column": "c", "state": "no trigger" }, { "state": "active" }],
            "drift": [{ "what": "t.c", "rows": 1516, "age_seconds": 300 }, { "what": "t.d", "rows": 0 }],
        }));
        assert_eq!(
            found,
            [
                "This database is a copy: nothing runs and nothing is sent",
                "`#old`, `#older` and 1 more: the channel is archived: choose another (`is_archived`); 2 messages were not sent",
                "A message has been waiting for 2 h 5 min",
                "1 job of A failed for good",
                "A job of B has been waiting or running for 10 min 0 s",
                "Backfill j of t failed",
                "Backfill k of t has no worker",
                "t.c is not maintained: no trigger",
                "1,516 rows of t.c differ",
            ]
        );
    }

    /// What is not known is no proof that nothing is wrong.
    #[test]
    fn what_is_not_known_is_a_problem() {
        let found = texts(json!({ "troubles": null, "has_more_troubles": true }));
        assert!(found[0].starts_with("Channels that cannot be reached are not known"));
        assert!(found[1].starts_with("There are more channels that cannot be reached"));
        let report = Report::deserialize(json!({})).unwrap_or_default();
        let found = of(&report, None, false);
        let found: Vec<&str> = found.iter().map(|it| &*it.text).collect();
        assert_eq!(found, ["The installations cannot be listed"]);
    }

    /// No channel is in trouble if only direct messages fail.
    #[test]
    fn messages_that_failed_in_no_trouble_are_a_problem() {
        let found = texts(json!({ "failures": [
            { "error": "is_archived", "deliveries": 3, "in_no_trouble": 0, "channels": 1, "names": ["#old"] },
            { "error": "user_not_found", "deliveries": 2, "in_no_trouble": 2, "channels": 2, "names": ["U1", "U2"] },
        ] }));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("2 messages were not sent within a day: "),
            "{found:?}"
        );
        assert!(found[0].contains("`user_not_found`"), "{found:?}");
    }

    #[test]
    fn the_title_counts_them() {
        let report = |dead| {
            let queue = vec![json!({ "dead": 1 }); dead];
            Report::deserialize(json!({ "queue": queue })).unwrap_or_default()
        };
        for (dead, expected) in [
            (0, "Status"),
            (1, "1 problem · Status"),
            (12, "12 problems · Status"),
        ] {
            assert_eq!(title(&of(&report(dead), Some(&[]), false)), expected);
        }
        let shown = list(&of(&report(12), Some(&[]), false)).into_string();
        assert!(shown.contains("and 2 more"), "{shown}");
    }
}
