//! The command `doctor`: what is wrong with a running system, and what to do about each finding.

use std::process::ExitCode;
use std::time::Duration;

use axum::http::{Request, StatusCode};
use clap::Args;
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::Value;
use url::Url;

use super::check::Findings;
use crate::connection::{Address, Connection};
use crate::database::{MetricsReport, SlackDatabase, Writes};
use crate::error::Error;
use crate::http::HttpClient;
use crate::serve::misfit;
use crate::text::{duration, number};

const EXIT: &str = "\
Exit status:
  0  all is well
  1  something is wrong, and what to do about it is printed
  2  wrong usage, or the database does not answer";

/// Tell what is wrong with a running system
///
/// Asks a running `serve` whether it is ready, and the database how everything stands: jobs, messages, backfills, cache columns, drift
/// as it was last counted, tokens. Changes nothing and reads no whole table. `check` looks at the settings instead.
#[derive(Args, Debug)]
#[command(after_help = EXIT)]
pub(crate) struct Doctor {
    /// Where a running `serve` has its --admin-listen; empty for none
    #[arg(
        long,
        value_name = "URL",
        env = "LOCKSTEP_ADMIN_URL",
        default_value = "http://127.0.0.1:9188"
    )]
    admin_url: String,

    /// The schema of the host's tables
    #[arg(long, env = "LOCKSTEP_SCHEMA", default_value = "public")]
    schema: String,

    #[command(flatten)]
    connection: Connection,
}

const PATIENCE: Duration = Duration::from_secs(5);
const LARGEST: usize = 64 << 10;

/// What waits for longer waits for something.
const LONG: f64 = 600.0;

/// A count that is older says little of now.
const OLD: Duration = Duration::from_secs(2 * 86_400);

pub(crate) async fn run(arguments: &Doctor) -> Result<ExitCode, Error> {
    let address = Address::new(arguments.connection.database_url.as_ref())?;
    let database = SlackDatabase::new(&address, &arguments.schema, 1)?;
    let mut findings = Findings::default();
    if !arguments.admin_url.is_empty() {
        ask_sidecar(&arguments.admin_url, &mut findings).await?;
    }
    let condition = database.condition().await?;
    if let Some(refusal) = condition.writes.refusal() {
        findings.wrong(&format!("the database is {refusal}"));
        // What is only read can be read all the same; a standby may lag behind.
        if condition.writes == Writes::Standby {
            return Ok(findings.status());
        }
    }
    if let Some(misfit) = misfit(&condition.extension) {
        findings.wrong(&misfit);
        return Ok(findings.status());
    }
    findings.fine(&format!(
        "the database, with the extension {}",
        condition.extension
    ));
    let report = database.metrics_report().await?;
    look_at(&report, &mut findings);
    for it in database.drift().await? {
        match it.rows.zip(it.age) {
            None => findings.aside(&format!(
                "{} was never counted: lockstep-sidecar drift",
                it.what
            )),
            Some((0, age)) if age < OLD => findings.fine(&format!(
                "no row of {} differs, counted {} ago",
                it.what,
                duration(age)
            )),
            Some((0, age)) => findings.aside(&format!(
                "whether rows of {} differ was counted {} ago: lockstep-sidecar drift counts now",
                it.what,
                duration(age)
            )),
            Some((rows, age)) => findings.wrong(&format!(
                "{} rows of {} differ, counted {} ago: {}",
                number(rows),
                it.what,
                duration(age),
                it.remedy()
            )),
        }
    }
    Ok(findings.status())
}

async fn ask_sidecar(url: &str, findings: &mut Findings) -> Result<(), Error> {
    let target = format!("{}/readyz", url.trim_end_matches('/'));
    let request = Request::get(target).body(Full::new(Bytes::new()));
    let (Ok(base), Ok(request)) = (Url::parse(url), request) else {
        findings.wrong(&format!(
            "--admin-url {url} is no address: it is http://host:port"
        ));
        return Ok(());
    };
    let client = HttpClient::new(&base, PATIENCE, PATIENCE)?;
    match client.exchange(request, PATIENCE, LARGEST).await {
        Ok(answer) if answer.status == StatusCode::OK => {
            findings.fine(&format!("serve at {url} is ready"))
        }
        Ok(answer) => {
            let reasons: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            findings.wrong(&format!(
                "serve at {url} is not ready ({reasons}): lockstep-sidecar check with its environment says what to do"
            ));
        }
        Err(_) => findings.wrong(&format!(
            "no serve answers at {url}: start it, or name its --admin-listen with --admin-url"
        )),
    }
    Ok(())
}

fn look_at(report: &MetricsReport, findings: &mut Findings) {
    if report.is_held {
        findings.wrong(
            "the database was restored or copied, so no job runs and nothing is sent: select lockstep.release_restored() and \
             lockstep.release_restored_slack() let them go on here, discard_restored() and discard_restored_slack() drop them",
        );
    }
    look_at_columns(report, findings);
    look_at_backfills(report, findings);
    look_at_jobs(report, findings);
    look_at_messages(report, findings);
    match report.workspaces.not_refreshed {
        0.0 => {}
        workspaces => findings.wrong(&format!(
            "the tokens of {workspaces} workspaces could not be refreshed: select team_id, refresh_error from lockstep.list_slack_workspaces() says why; if Slack refused, install the app there again"
        )),
    }
}

fn look_at_columns(report: &MetricsReport, findings: &mut Findings) {
    for it in &report.cache_columns {
        let name = format!("{}.{}", it.table, it.column);
        match it.is_active {
            true => findings.fine(&format!("{name} is maintained")),
            false => findings.wrong(&format!(
                "{name} is not maintained: select state from lockstep.cache_columns says why, lockstep.attach() repairs it"
            )),
        }
    }
}

fn look_at_backfills(report: &MetricsReport, findings: &mut Findings) {
    for it in &report.backfills {
        let name = format!("the backfill {} of {}", it.job, it.table);
        if it.status == "failed" {
            findings.wrong(&format!(
                "{name} failed, with {} ranges set aside: lockstep.backfill_set_aside says why, lockstep.retry_backfill(run) tries them again",
                it.set_aside
            ));
        } else if it.held_by.as_deref() == Some("no_worker") {
            findings.wrong(&format!(
                "{name} has no worker: select lockstep.resume_backfill(run)"
            ));
        } else if let Some(cause) = &it.held_by {
            findings.aside(&format!(
                "{name} waits now: {cause}; lockstep.backfill_progress says more"
            ));
        }
    }
}

fn look_at_jobs(report: &MetricsReport, findings: &mut Findings) {
    let waiting: f64 = report.jobs.iter().map(|it| it.waiting).sum();
    if report.runners == 0.0 && waiting > 0.0 {
        findings.wrong(&format!(
            "{waiting} jobs wait and nobody runs any: start lockstep-sidecar serve, or work for GitLab's own"
        ));
    }
    for it in &report.jobs {
        if it.oldest_seconds > LONG {
            findings.wrong(&format!(
                "a job of {} has been waiting for {}: raise --job-concurrency or start more sidecars, if one runs that worker",
                it.worker,
                duration(Duration::try_from_secs_f64(it.oldest_seconds).unwrap_or_default())
            ));
        }
        if it.dead > 0.0 {
            findings.wrong(&format!(
                "{} jobs of {} failed for good: lockstep.dead_jobs says why, lockstep.retry_dead_jobs('{1}') tries them again",
                it.dead, it.worker
            ));
        }
    }
}

fn look_at_messages(report: &MetricsReport, findings: &mut Findings) {
    let of = &report.deliveries;
    if of.oldest_seconds > LONG {
        findings.wrong(&format!(
            "{} messages wait, the oldest for {}: last_error in lockstep.slack_delivery_status says why; if there is none, no sidecar sends",
            of.waiting,
            duration(Duration::try_from_secs_f64(of.oldest_seconds).unwrap_or_default())
        ));
    }
    for (cause, messages) in &of.failed {
        let remedy = match &**cause {
            "not_in_channel" | "channel_not_found" => {
                "invite the app to the channel, or correct its name"
            }
            "is_archived" => "choose another channel",
            "missing_scope" | "token_revoked" | "account_inactive" | "invalid_auth" => {
                "install the app again"
            }
            _ => "lockstep.slack_delivery_status names the channels",
        };
        findings.wrong(&format!(
            "{messages} messages failed with {cause}: {remedy}; lockstep.retry_deliveries() sends them again"
        ));
    }
}
