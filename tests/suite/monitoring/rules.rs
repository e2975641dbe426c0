//! The rules for alerts and the dashboard that come with lockstep.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use lockstep_tests::root;
use serde_json::Value;

use super::{families, promtool};
use crate::docs::anchors_of;
use crate::slack_app::Stage;

const RULES: &str = "deploy/prometheus/lockstep.rules.yaml";
const TESTS: &str = "deploy/prometheus/lockstep.rules.test.yaml";
const DASHBOARD: &str = "deploy/grafana/lockstep.json";

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// What comes after a key, line by line.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let values = text.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("- ");
        line.strip_prefix(key)?.strip_prefix(": ")
    });
    values.collect()
}

/// All texts that a dashboard asks Prometheus.
fn queries<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(query) if name == "expr" => found.push(query),
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// The names of ours that a query has.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = query.split(move |letter| !is_of_name(letter));
    words.filter(|word| word.starts_with("lockstep_"))
}

/// A query of something that is not there is silent for ever.
#[test]
fn queries_ask_for_what_is_there() -> Result<()> {
    let stage = Stage::set("monitoring_queries")?;
    let text = stage.sidecar.metrics()?;
    let families = families(&text);
    // There once a backfill has run, or a message has failed.
    let declared = read("docs/reference/metrics.md")?;
    let is_there = |name: &str| {
        let family = ["_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(|part| name.strip_suffix(part).filter(|it| families.contains(it)));
        families.contains(name)
            || family.is_some()
            || declared.contains(&format!("| `{name}` | gauge | `job`, `table`"))
            || declared.contains(&format!("| `{name}` | gauge | `cause`"))
            || declared.contains(&format!("| `{name}` | gauge | `what`"))
    };
    let rules = read(RULES)?;
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)?)?;
    let mut asked = values(&rules, "expr");
    let rules = asked.len();
    queries(&dashboard, &mut asked);
    ensure!(rules > 20 && asked.len() > rules + 30, "{}", asked.len());
    for query in asked {
        ensure!(names(query).next().is_some(), "{query} asks for nothing");
        for name in names(query) {
            ensure!(is_there(name), "no {name}, which {query} asks for");
        }
    }
    Ok(())
}

#[test]
fn alerts_are_tested_and_have_a_runbook() -> Result<()> {
    let (rules, tests) = (read(RULES)?, read(TESTS)?);
    let monitoring = read("docs/operations/monitoring.md")?;
    let alerts = values(&rules, "alert");
    let runbooks = values(&rules, "runbook_url");
    assert_eq!(alerts.len(), runbooks.len());
    let tested: BTreeSet<&str> = values(&tests, "name").into_iter().collect();
    for (alert, runbook) in alerts.iter().zip(runbooks) {
        ensure!(tested.contains(alert), "{alert} has no test");
        ensure!(
            monitoring.contains(&format!("| `{alert}` |")),
            "docs/operations/monitoring.md does not list {alert}"
        );
        let (page, anchor) = runbook.split_once('#').unwrap_or((runbook, ""));
        let anchors = anchors_of(&read(page)?);
        ensure!(
            anchor.is_empty() || anchors.iter().any(|it| it == anchor),
            "{alert}: there is no {runbook}"
        );
    }
    promtool(&["check", "rules", &path(RULES)], "")?;
    promtool(&["test", "rules", &path(TESTS)], "")
}

fn path(name: &str) -> String {
    root().join(name).display().to_string()
}
