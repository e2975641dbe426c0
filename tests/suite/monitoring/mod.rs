//! What Prometheus is shown.

mod command;
mod database;
mod given;
mod history;
mod log;
mod rules;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::App;
use lockstep_tests::target;

use crate::slack_app::Stage;

/// The names of the families that a text declares.
fn families(text: &str) -> BTreeSet<&str> {
    let declared = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("# TYPE ")?;
        rest.split(' ').next()
    });
    declared.collect()
}

/// The value of a series, whose labels may be in any order.
fn value(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = text.lines().find(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| {
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        })
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Series that are missing until something happens have no increase when it happens for the first time.
#[test]
fn all_is_there_from_the_start() -> Result<()> {
    let stage = Stage::set("monitoring_start")?;
    let text = stage.sidecar.metrics()?;
    for (name, labels) in [
        (
            "lockstep_gitlab_hooks_total",
            &["outcome=\"unavailable\""][..],
        ),
        ("lockstep_gitlab_hooks_total", &["outcome=\"full\""]),
        ("lockstep_deliveries_total", &["outcome=\"uncertain\""]),
        (
            "lockstep_slack_calls_total",
            &["method=\"chat.postMessage\"", "outcome=\"rate_limited\""],
        ),
        (
            "lockstep_slack_call_duration_seconds_count",
            &["method=\"chat.postMessage\""],
        ),
        (
            "lockstep_gitlab_pass_through_duration_seconds_count",
            &["route=\"/api/v4/slack/trigger\""],
        ),
        (
            "lockstep_database_call_duration_seconds_count",
            &["function=\"publish_events\""],
        ),
        (
            "lockstep_http_requests_total",
            &["route=\"/gitlab/hooks\"", "status=\"200\""],
        ),
        (
            "lockstep_slack_token_refreshes_total",
            &["outcome=\"failed\""],
        ),
        (
            "lockstep_jobs",
            &["worker=\"Slack::AppHomeWorker\"", "state=\"dead\""],
        ),
        (
            "lockstep_job_oldest_age_seconds",
            &["worker=\"Slack::AppHomeWorker\""],
        ),
        ("lockstep_deliveries_waiting", &[]),
        ("lockstep_delivery_oldest_age_seconds", &[]),
        (
            "lockstep_drift_checked_timestamp_seconds",
            &["what=\"public.projects.has_external_wiki\""],
        ),
        (
            "lockstep_database_sessions_waited_for",
            &["pool=\"requests\""],
        ),
        ("lockstep_database_held", &[]),
    ] {
        assert_eq!(
            value(&text, name, labels),
            Some(0.0),
            "{name} {labels:?}\n{text}"
        );
    }
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    for (name, labels) in [
        ("lockstep_build_info", &[&*version][..]),
        ("lockstep_extension_info", &[&*version]),
        ("lockstep_database_up", &[]),
        (
            "lockstep_cache_column_active",
            &["table=\"public.projects\"", "column=\"has_external_wiki\""],
        ),
    ] {
        assert_eq!(value(&text, name, labels), Some(1.0), "{name}\n{text}");
    }
    let described: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next())
        .collect();
    assert_eq!(described, families(&text));
    // Whoever reaches the public address is not told how much waits.
    assert_eq!(stage.sidecar.get("/metrics")?.status, 404);
    assert_eq!(stage.sidecar.get("/healthz")?.status, 200);
    Ok(())
}

/// Names, units and descriptions are as Prometheus wants them.
#[test]
fn prometheus_finds_no_fault_with_it() -> Result<()> {
    let mut stage = Stage::set_with("monitoring_lint", App::default(), &[])?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    stage
        .client
        .batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    let text = stage.sidecar.metrics()?;
    promtool(&["check", "metrics"], &text)
}

/// Runs promtool where it is there: `.ci/setup tests` fetches it, where it can. Who has none is told so: this test says nothing then.
fn promtool(arguments: &[&str], input: &str) -> Result<()> {
    let fetched = target().join("tools/bin/promtool");
    let program = match fetched.exists() {
        true => fetched.into_os_string(),
        false => "promtool".into(),
    };
    let running = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = match running {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!(
                "promtool is missing (Debian's package prometheus): {arguments:?} was not run"
            );
            return Ok(());
        }
        running => running?,
    };
    let mut stdin = running.stdin.take().context("no stdin")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = running.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "promtool {arguments:?}: {}",
        String::from_utf8_lossy(&said)
    );
    Ok(())
}

/// Without the database what is of this process is shown, and that the database is away; what is of the database is not guessed.
#[test]
fn without_the_database_there_are_metrics() -> Result<()> {
    let slack = lockstep_tests::slack::FakeSlack::start(App::default())?;
    let sidecar =
        crate::slack_app::Sidecar::start("host=/nowhere dbname=none user=nobody", &slack, &[])?;
    let text = sidecar.metrics()?;
    assert_eq!(
        value(&text, "lockstep_database_up", &[]),
        Some(0.0),
        "{text}"
    );
    assert_eq!(value(&text, "lockstep_jobs", &[]), None, "{text}");
    let failures = value(
        &text,
        "lockstep_database_failures_total",
        &["reason=\"unreachable\""],
    );
    ensure!(failures > Some(0.0), "{text}");
    // However many ask, one line says so.
    for path in ["/readyz", "/slack/install", "/", "/readyz"] {
        sidecar.get(path)?;
    }
    let log = sidecar.log();
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
    ensure!(log.contains("no answer"), "{log}");
    Ok(())
}
