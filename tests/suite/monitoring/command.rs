//! The commands of those who run it: `drift`, `ticket` and `doctor`.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::{App, FakeSlack};

use crate::slack_app::{Sidecar, Stage, command, install, sidecar_url, with_projects};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &output.stderr].concat()).into_owned()
}

/// What a command prints, with which status.
fn run(name: &str, url: &str, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let slack = FakeSlack::start(App::default())?;
    let output = command(name, url, &slack).args(arguments).output()?;
    Ok((output.status.code(), text(&output)))
}

#[test]
fn drift_is_counted_with_its_remedy() -> Result<()> {
    let name = "command_drift";
    let mut client = with_projects(name)?;
    let url = sidecar_url(name)?;
    let (status, said) = run("drift", &url, &["--last"])?;
    ensure!(
        status == Some(1) && said.contains("has_external_wiki: never counted"),
        "{said}"
    );
    let (status, said) = run("drift", &url, &[])?;
    ensure!(
        status == Some(0) && said.contains("has_external_wiki: 0 rows differ\n"),
        "{said}"
    );
    client.batch_execute(
        "set session_replication_role = replica; update projects set has_external_wiki = true where id < 3; reset session_replication_role",
    )?;
    // The last count knows nothing of that.
    let (status, said) = run("drift", &url, &["--last"])?;
    ensure!(
        status == Some(0) && said.contains("has_external_wiki: 0 rows differ"),
        "{said}"
    );
    let (status, said) = run("drift", &url, &[])?;
    ensure!(
        status == Some(1) && said.contains("has_external_wiki: 2 rows differ\n"),
        "{said}"
    );
    let remedy = said
        .lines()
        .find(|line| line.starts_with("  call "))
        .context("no remedy")?;
    client.batch_execute(remedy)?;
    assert_eq!(run("drift", &url, &[])?.0, Some(0));
    Ok(())
}

#[test]
fn a_ticket_is_a_link_that_installs() -> Result<()> {
    let name = "command_ticket";
    let mut stage = Stage::set(name)?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    stage
        .client
        .batch_execute(&format!("create role {name} login in role lockstep_admin"))?;
    let url = stage.url.replace("user=sidecar", &format!("user={name}"));
    let base = stage.sidecar.base.clone();
    let at = ["--public-url", &base];
    let (status, said) = run(
        "ticket",
        &url,
        &[&at[..], &["--project", "group/two"]].concat(),
    )?;
    ensure!(status == Some(0), "{said}");
    let query = said
        .trim()
        .strip_prefix(&format!("{base}/slack/install"))
        .with_context(|| format!("no link of ours: {said}"))?;
    assert_eq!(install(&stage.sidecar, query)?.status, 200);
    let owner = "select exists (select from slack_integrations s join integrations i on i.id = s.integration_id where i.project_id = 2)";
    stage.wait_for(owner)?;
    for (url, arguments, words) in [
        (
            &url,
            &["--project", "group/none"][..],
            "there is no project group/none",
        ),
        (&url, &["--project", "77"], "there is no project 77"),
        (
            &stage.url,
            &["--project", "group/two"],
            "grant lockstep_admin",
        ),
    ] {
        let (status, said) = run("ticket", url, &[&at[..], arguments].concat())?;
        ensure!(
            status == Some(1) && said.contains(words),
            "{words}: {status:?} {said}"
        );
    }
    Ok(())
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_helps() -> Result<()> {
    let name = "command_doctor";
    let mut client = with_projects(name)?;
    let url = sidecar_url(name)?;
    let slack = FakeSlack::start(App::default())?;
    let sidecar = Sidecar::start(&url, &slack, &["--job-concurrency", "1"])?;
    sidecar.wait_until_ready()?;
    let admin = sidecar.admin()?;
    let at = ["--admin-url", &*admin];
    assert_eq!(run("drift", &url, &[])?.0, Some(0));
    let (status, said) = run("doctor", &url, &at)?;
    ensure!(status == Some(0) && !said.contains("wrong:"), "{said}");
    drop(sidecar);
    client.batch_execute(
        "insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead, died_at)
           values ('Nobody::TakesThis', '{}', 0, now() - interval '1 hour', 'waiting', 3, true, null),
                  ('Dead', '{}', 0, now(), 'dead', 3, true, now());
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, status, error, done_at)
           values ('public', 1, 1, 1, 1, 1, 'failed', 'is_archived', now());
         drop trigger lockstep_changed on integrations;
         update lockstep_internal.drift_check set rows = 3 where what = 'public.projects.has_external_wiki';
         insert into lockstep_internal.backfill_run (job, target_table, status, workers, settings, last_key, rows_estimated)
           values ('cache_columns', 'projects', 'failed', 1, '{}', '{}', 1);
         delete from lockstep_internal.job_runner",
    )?;
    let (status, said) = run("doctor", &url, &at)?;
    assert_eq!(status, Some(1));
    for words in [
        &*format!("wrong: no serve answers at {admin}"),
        "nobody runs any: start lockstep-sidecar serve",
        "a job of Nobody::TakesThis has been waiting",
        "1 jobs of Dead failed for good: lockstep.dead_jobs says why",
        "1 messages failed with is_archived: choose another channel",
        "public.projects.has_external_wiki is not maintained",
        "3 rows of public.projects.has_external_wiki differ",
        "the backfill cache_columns of public.projects failed",
    ] {
        ensure!(said.contains(words), "{words}: {said}");
    }
    client.batch_execute("drop extension lockstep cascade")?;
    let (status, said) = run("doctor", &url, &at)?;
    assert_eq!(status, Some(1));
    ensure!(
        said.contains("the extension is missing: create extension lockstep_slack cascade"),
        "{said}"
    );
    Ok(())
}

/// Those who look for a setting find it under what it is of.
#[test]
fn settings_of_serve_are_grouped() -> Result<()> {
    let (_, help) = run("serve", "", &["--help"])?;
    let heading_of = |flag: &str| {
        let (before, _) = help.split_once(&format!("\n      {flag} "))?;
        let heading = before
            .lines()
            .rfind(|line| !line.starts_with(' ') && line.ends_with(':'));
        heading.map(str::to_owned)
    };
    for (flag, heading) in [
        ("--listen", "Options:"),
        ("--deliveries", "Work:"),
        ("--workspace-rate", "Work:"),
        ("--drift-period", "Work:"),
        ("--grace", "Stopping:"),
        ("--drain-delay", "Stopping:"),
        ("--database-url", "Database:"),
        ("--sessions", "Database:"),
        ("--slack-client-id", "Slack app:"),
        ("--token-key", "Token keys:"),
        ("--gitlab-token", "Webhooks of GitLab:"),
        ("--chatops-team", "Chatops:"),
    ] {
        assert_eq!(heading_of(flag).as_deref(), Some(heading), "{flag}\n{help}");
    }
    Ok(())
}
