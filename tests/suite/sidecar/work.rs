//! The sidecar's command `work`: how it stops, crashes and restarts.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lockstep_tests::host::Layout;
use lockstep_tests::target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::{cluster, with_slack};
use crate::service_account::number;

/// A sidecar that is killed when the test ends.
pub(crate) struct Sidecar(pub(crate) Child);

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sidecar {
    pub(crate) fn start(address: &str, arguments: &[&str]) -> Result<Self> {
        let child = Command::new(target().join("debug/lockstep-sidecar"))
            .arg("work")
            .args(arguments)
            .env("DATABASE_URL", address)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), signal)?;
        Ok(())
    }

    /// Its exit code and everything it logged.
    pub(super) fn end(mut self) -> Result<(Option<i32>, String)> {
        let mut log = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_string(&mut log)?;
        }
        Ok((self.0.wait()?.code(), log))
    }
}

pub(crate) fn start(database: &str, arguments: &[&str]) -> Result<Sidecar> {
    Sidecar::start(&cluster()?.address(database), arguments)
}

/// Runs all waiting jobs; returns the log.
pub(crate) fn work(database: &str, arguments: &[&str]) -> Result<String> {
    let mut all = vec!["--until-empty"];
    all.extend(arguments);
    let (status, log) = start(database, &all)?.end()?;
    ensure!(status == Some(0), "{status:?}: {log}");
    Ok(log)
}

pub(crate) fn enqueue(client: &mut Client, worker: &str, args: &str) -> Result<i64> {
    let row = client.query_one(
        "select lockstep.enqueue_job($1, $2::text::jsonb)",
        &[&worker, &args],
    )?;
    Ok(row.get(0))
}

pub(crate) fn wait_for(client: &mut Client, what: &str, query: &str) -> Result<()> {
    let begun = Instant::now();
    while !client.query_one(query, &[])?.get::<_, bool>(0) {
        if begun.elapsed() > PATIENCE {
            bail!("waited for {what} in vain: {query}");
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The application's tables with integration 1; a role's lock on it makes its jobs wait.
pub(crate) fn with_integration(name: &str) -> Result<Client> {
    let mut client = with_slack(name, Layout::Narrow)?;
    client.batch_execute(
        "insert into projects (id, namespace_id) values (1, 1);
         insert into integrations (id, project_id, type_new, active) values (1, 1, 'Integrations::Slack', true)",
    )?;
    Ok(client)
}

pub(crate) const PUSH: &str = r#"[1, {"object_kind": "push"}]"#;

#[test]
fn unknown_worker_is_refused() -> Result<()> {
    let (status, log) = start("postgres", &["--worker", "Mailer"])?.end()?;
    assert_eq!(status, Some(2));
    for words in ["unknown worker \"Mailer\"", "Integrations::ExecuteWorker"] {
        ensure!(log.contains(words), "{log}");
    }
    Ok(())
}

/// Three jobs wait, one of them is running until the other session releases its lock.
fn busy(name: &str, arguments: &[&str]) -> Result<(Client, Client, Sidecar)> {
    let mut client = with_integration(name)?;
    let mut holder = cluster()?.connect(name)?;
    holder.batch_execute("begin; select from integrations where id = 1 for update")?;
    for _ in 0..3 {
        enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    }
    let mut all = vec!["--concurrency", "1"];
    all.extend(arguments);
    let sidecar = start(name, &all)?;
    wait_for(
        &mut client,
        "a job to run",
        "select exists (select from pg_stat_activity a where a.datname = current_database() and a.wait_event_type = 'Lock')",
    )?;
    Ok((client, holder, sidecar))
}

const LEFT: &str =
    "select string_agg(id || ' ' || status, ', ' order by id) from lockstep_internal.job";

#[test]
fn signal_lets_running_jobs_finish() -> Result<()> {
    let (mut client, mut holder, sidecar) = busy("work_signal", &[])?;
    sidecar.signal(Signal::SIGTERM)?;
    wait_for(
        &mut client,
        "the others to be given back",
        "select count(*) = 2 from lockstep_internal.job where status = 'waiting'",
    )?;
    holder.batch_execute("commit")?;
    let (status, log) = sidecar.end()?;
    assert_eq!(status, Some(0), "{log}");
    ensure!(log.contains("done=1"), "{log}");
    let left: String = client.query_one(LEFT, &[])?.get(0);
    assert_eq!(left, "2 waiting, 3 waiting");
    assert_eq!(
        number(
            &mut client,
            "select sum(failures + losses) from lockstep_internal.job"
        )?,
        0
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.job_runner"
        )?,
        0
    );
    Ok(())
}

#[test]
fn second_signal_gives_everything_back() -> Result<()> {
    let (mut client, mut holder, mut sidecar) = busy("work_signals", &[])?;
    sidecar.signal(Signal::SIGINT)?;
    wait_for(
        &mut client,
        "the others to be given back",
        "select count(*) = 2 from lockstep_internal.job where status = 'waiting'",
    )?;
    // A second signal that arrives before the first was handled counts as one.
    while sidecar.0.try_wait()?.is_none() {
        sidecar.signal(Signal::SIGINT)?;
        sleep(Duration::from_millis(5));
    }
    let (status, log) = sidecar.end()?;
    assert_eq!(status, Some(130), "{log}");
    let left: String = client.query_one(LEFT, &[])?.get(0);
    assert_eq!(left, "1 waiting, 2 waiting, 3 waiting");
    holder.batch_execute("commit")?;
    Ok(())
}

#[test]
fn time_to_finish_is_limited() -> Result<()> {
    let (mut client, mut holder, sidecar) = busy("work_grace", &["--grace", "0"])?;
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    assert_eq!(status, Some(0), "{log}");
    ensure!(log.contains("given_back=1"), "{log}");
    let left: String = client.query_one(LEFT, &[])?.get(0);
    assert_eq!(left, "1 waiting, 2 waiting, 3 waiting");
    holder.batch_execute("commit")?;
    Ok(())
}

#[test]
fn others_take_over_from_the_dead() -> Result<()> {
    let name = "work_dead";
    let (mut client, mut holder, mut sidecar) = busy(name, &["--lease", "1"])?;
    sidecar.0.kill()?;
    holder.batch_execute("commit")?;
    let other = start(name, &["--lease", "1"])?;
    wait_for(
        &mut client,
        "all jobs to be done",
        "select not exists (select from lockstep_internal.job)",
    )?;
    other.signal(Signal::SIGTERM)?;
    let (status, log) = other.end()?;
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.integration_event"
        )?,
        3
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.job_runner"
        )?,
        0
    );
    Ok(())
}

#[test]
fn connection_and_lease_are_got_again() -> Result<()> {
    let name = "work_lost";
    let mut client = with_integration(name)?;
    let sidecar = start(name, &[])?;
    let done = |client: &mut Client, jobs: i64| {
        wait_for(
            client,
            "jobs to be done",
            &format!("select count(*) = {jobs} from lockstep_internal.integration_event"),
        )
    };
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    done(&mut client, 1)?;
    let runner = number(
        &mut client,
        "select max(id) from lockstep_internal.job_runner",
    )?;
    client.batch_execute(
        "select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name = 'lockstep-sidecar'",
    )?;
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    done(&mut client, 2)?;
    // Its lease was kept alive.
    assert_eq!(
        number(
            &mut client,
            "select max(id) from lockstep_internal.job_runner"
        )?,
        runner
    );
    client.batch_execute("delete from lockstep_internal.job_runner")?;
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    done(&mut client, 3)?;
    ensure!(
        number(
            &mut client,
            "select max(id) from lockstep_internal.job_runner"
        )? > runner
    );
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    assert_eq!(status, Some(0), "{log}");
    Ok(())
}

/// A job that was done after its lease had expired is completed too late: that is refused, and the other runner does it again.
#[test]
fn late_completion_is_refused() -> Result<()> {
    let name = "work_late";
    let (mut client, mut holder, sidecar) = busy(name, &["--lease", "86400", "--poll", "3600"])?;
    client.batch_execute(
        "update lockstep_internal.job_runner set leased_until = now() - interval '1 second'",
    )?;
    let other = number(&mut client, "select lockstep.start_runner('other')")?;
    let taken = format!(
        "select count(*) from lockstep.claim_jobs({other}, '{{ProjectServiceWorker}}', 10)"
    );
    assert_eq!(number(&mut client, &taken)?, 3);
    holder.batch_execute("commit")?;
    wait_for(
        &mut client,
        "the event",
        "select exists (select from lockstep_internal.integration_event)",
    )?;
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    assert_eq!(status, Some(0), "{log}");
    ensure!(log.contains("done too late"), "{log}");
    let left: String = client.query_one(LEFT, &[])?.get(0);
    assert_eq!(left, "1 running, 2 running, 3 running");
    Ok(())
}

#[test]
fn help_tells_what_there_is_to_know() -> Result<()> {
    let output = Command::new(target().join("debug/lockstep-sidecar"))
        .args(["work", "--help"])
        .output()
        .context("cannot run the sidecar")?;
    let help = String::from_utf8(output.stdout)?;
    for words in [
        "--concurrency",
        "--until-empty",
        "Exit status",
        "DATABASE_URL",
    ] {
        ensure!(help.contains(words), "{words} is not in {help}");
    }
    Ok(())
}
