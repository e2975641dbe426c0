//! The sidecar's command `work`: what each worker does, and how the command stops, dies and comes back.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use lockstep_tests::host::Layout;
use lockstep_tests::target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::{cluster, with_host};
use crate::service_account::number;

/// A sidecar that is killed with the test, should that fail.
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

    fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), signal)?;
        Ok(())
    }

    /// Its exit status, and all that it logged.
    fn end(mut self) -> Result<(Option<i32>, String)> {
        let mut log = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_string(&mut log)?;
        }
        Ok((self.0.wait()?.code(), log))
    }
}

fn start(database: &str, arguments: &[&str]) -> Result<Sidecar> {
    Sidecar::start(&cluster()?.address(database), arguments)
}

/// Runs what there is; answers what was logged.
fn work(database: &str, arguments: &[&str]) -> Result<String> {
    let mut all = vec!["--until-empty"];
    all.extend(arguments);
    let (status, log) = start(database, &all)?.end()?;
    ensure!(status == Some(0), "{status:?}: {log}");
    Ok(log)
}

fn enqueue(client: &mut Client, worker: &str, args: &str) -> Result<i64> {
    let row = client.query_one(
        "select lockstep.enqueue_job($1, $2::text::jsonb)",
        &[&worker, &args],
    )?;
    Ok(row.get(0))
}

fn wait_for(client: &mut Client, what: &str, query: &str) -> Result<()> {
    let begun = Instant::now();
    while !client.query_one(query, &[])?.get::<_, bool>(0) {
        if begun.elapsed() > PATIENCE {
            bail!("waited for {what} in vain: {query}");
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The host's tables with integration 1, and a role's lock on it makes jobs of it last.
fn with_integration(name: &str) -> Result<Client> {
    let mut client = with_host(name, Layout::Narrow)?;
    client.batch_execute(
        "insert into projects (id, namespace_id) values (1, 1);
         insert into integrations (id, project_id, type_new, active) values (1, 1, 'Integrations::Slack', true)",
    )?;
    Ok(client)
}

const PUSH: &str = r#"[1, {"object_kind": "push"}]"#;

#[test]
fn events_are_recorded_once_under_either_name() -> Result<()> {
    let name = "work_execute";
    let mut client = with_integration(name)?;
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    client.batch_execute("select * from lockstep.attach(); select lockstep.set_feature('rename_integrations_workers', true)")?;
    enqueue(
        &mut client,
        "ProjectServiceWorker",
        r#"{"integration_id": 1, "data": {"object_kind": "issue"}}"#,
    )?;
    // Of an integration that is gone nobody is told, and nothing is wrong.
    enqueue(&mut client, "Integrations::ExecuteWorker", "[2, {}]")?;
    let names = number(
        &mut client,
        "select count(distinct worker) from lockstep.job",
    )?;
    assert_eq!(names, 2);
    let log = work(name, &["--worker", "ProjectServiceWorker"])?;
    ensure!(log.contains("done=3"), "{log}");
    let rows = client.query(
        "select event, integration_id from lockstep.integration_event order by job",
        &[],
    )?;
    let events: Vec<(&str, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(events, [("push", 1), ("issue", 1)]);
    assert_eq!(number(&mut client, "select count(*) from lockstep.job")?, 0);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep.job_runner")?,
        0
    );
    Ok(())
}

#[test]
fn clusters_switch_the_integration_of_all_their_projects() -> Result<()> {
    let name = "work_cluster";
    let mut client = with_host(name, Layout::Narrow)?;
    // Cluster 1 is of projects 1 and 2, cluster 2 of group 10 with subgroup 11, projects 3 and 4, and of project 5's group no more.
    client.batch_execute(
        "insert into namespaces (id, name, path, type, traversal_ids, organization_id)
           values (10, 'g', 'g', 'Group', '{10}', 1), (11, 's', 's', 'Group', '{10,11}', 1), (12, 'o', 'o', 'Group', '{12}', 1);
         insert into projects (id, namespace_id) values (1, 1), (2, 1), (3, 10), (4, 11), (5, 12);
         insert into clusters (id, name, cluster_type) values (1, 'one', 3), (2, 'two', 2);
         insert into cluster_projects (cluster_id, project_id) values (1, 1), (1, 2);
         insert into cluster_groups (cluster_id, group_id) values (2, 10);
         insert into integrations (project_id, type_new, category, active)
           values (1, 'Integrations::Prometheus', 'monitoring', false), (2, 'Integrations::Slack', 'chat', false),
                  (5, 'Integrations::Prometheus', 'monitoring', true)",
    )?;
    let state = |client: &mut Client| -> Result<String> {
        let query = "select string_agg(project_id || case when active then ' on' else ' off' end, ', ' order by project_id)
                       from integrations where type_new = 'Integrations::Prometheus'";
        Ok(client.query_one(query, &[])?.get(0))
    };
    let old = "Clusters::Applications::ActivateServiceWorker";
    enqueue(&mut client, old, r#"[1, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(state(&mut client)?, "1 on, 2 on, 5 on");
    let new = "Clusters::Applications::ActivateIntegrationWorker";
    enqueue(&mut client, new, r#"[2, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(state(&mut client)?, "1 on, 2 on, 3 on, 4 on, 5 on");
    let categories = "select count(distinct category) from integrations where type_new = 'Integrations::Prometheus'";
    assert_eq!(number(&mut client, categories)?, 1);
    // What is so already is not written.
    let version = "select max(xmin::text::bigint) from integrations";
    let before = number(&mut client, version)?;
    enqueue(&mut client, new, r#"[2, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(number(&mut client, version)?, before);
    enqueue(
        &mut client,
        "Clusters::Applications::DeactivateServiceWorker",
        r#"[2, "prometheus"]"#,
    )?;
    // A cluster that is not there has no projects.
    enqueue(&mut client, new, r#"[7, "prometheus"]"#)?;
    work(name, &[])?;
    assert_eq!(state(&mut client)?, "1 on, 2 on, 3 off, 4 off, 5 on");
    Ok(())
}

#[test]
fn irkerd_is_told_over_tcp() -> Result<()> {
    let name = "work_irker";
    let mut client = with_host(name, Layout::Narrow)?;
    let irkerd = TcpListener::bind("127.0.0.1:0")?;
    let port = irkerd.local_addr()?.port();
    let push = r##"{"ref": "refs/heads/main", "before": "aaaa", "after": "bbbb", "user_name": "Eve", "repository": {"name": "p"},
                    "commits": [{"id": "bbbb", "message": "Title\n", "author": {"name": "Eve"}, "url": "https://x/c"}]}"##;
    let args = format!(
        r##"[1, ["irc://irc.example/#dev"], false, {push}, {{"server_host": "127.0.0.1", "server_port": {port}}}]"##
    );
    enqueue(&mut client, "IrkerWorker", &args)?;
    let told = thread::spawn(move || -> Result<Vec<serde_json::Value>> {
        let (stream, _) = irkerd.accept()?;
        let lines = BufReader::new(stream).lines();
        lines
            .map(|line| Ok(serde_json::from_str(&line?)?))
            .collect()
    });
    work(name, &[])?;
    let told = told.join().map_err(|_| anyhow!("irkerd panicked"))??;
    assert_eq!(told.len(), 2);
    for line in &told {
        assert_eq!(line["to"], serde_json::json!(["irc://irc.example/#dev"]));
    }
    assert_eq!(told[1]["privmsg"], "[p] main bbbb Eve: Title https://x/c");
    // Nobody listens there any more.
    let job = enqueue(&mut client, "IrkerWorker", &args)?;
    work(name, &[])?;
    let row = client.query_one(
        "select status, failures, last_error from lockstep.job where id = $1",
        &[&job],
    )?;
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, i32>(1)),
        ("scheduled", 1)
    );
    let error: &str = row.get(2);
    ensure!(
        error.starts_with(&format!("irkerd at 127.0.0.1:{port}: ")),
        "{error}"
    );
    Ok(())
}

#[test]
fn arguments_that_are_none_are_a_failure() -> Result<()> {
    let name = "work_arguments";
    let mut client = with_integration(name)?;
    for (worker, args) in [
        ("Integrations::ExecuteWorker", "{}"),
        ("Integrations::IrkerWorker", "[1]"),
        (
            "Clusters::Applications::ActivateIntegrationWorker",
            r#"["prometheus"]"#,
        ),
        (
            "Clusters::Applications::DeactivateIntegrationWorker",
            r#"[1, "no such name"]"#,
        ),
    ] {
        let job = enqueue(&mut client, worker, args)?;
        let log = work(name, &[])?;
        let error: String = client
            .query_one(
                "select last_error from lockstep.job where id = $1 and failures = 1",
                &[&job],
            )?
            .get(0);
        ensure!(
            error.contains("are not") || error.contains("is not a name"),
            "{worker}: {error}"
        );
        ensure!(log.contains("failed"), "{log}");
        // They may hold what nobody is to read.
        ensure!(!log.contains("prometheus\""), "{log}");
    }
    Ok(())
}

#[test]
fn unknown_worker_is_refused() -> Result<()> {
    let (status, log) = start("postgres", &["--worker", "Mailer"])?.end()?;
    assert_eq!(status, Some(2));
    for words in ["unknown worker \"Mailer\"", "Integrations::ExecuteWorker"] {
        ensure!(log.contains(words), "{log}");
    }
    Ok(())
}

/// Three jobs wait, one of them is being run and lasts until the other session lets go.
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

const LEFT: &str = "select string_agg(id || ' ' || status, ', ' order by id) from lockstep.job";

#[test]
fn signal_lets_running_jobs_finish() -> Result<()> {
    let (mut client, mut holder, sidecar) = busy("work_signal", &[])?;
    sidecar.signal(Signal::SIGTERM)?;
    wait_for(
        &mut client,
        "the others to be given back",
        "select count(*) = 2 from lockstep.job where status = 'waiting'",
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
            "select sum(failures + losses) from lockstep.job"
        )?,
        0
    );
    assert_eq!(
        number(&mut client, "select count(*) from lockstep.job_runner")?,
        0
    );
    Ok(())
}

#[test]
fn second_signal_gives_everything_back() -> Result<()> {
    let (mut client, mut holder, sidecar) = busy("work_signals", &[])?;
    sidecar.signal(Signal::SIGINT)?;
    wait_for(
        &mut client,
        "the others to be given back",
        "select count(*) = 2 from lockstep.job where status = 'waiting'",
    )?;
    sidecar.signal(Signal::SIGINT)?;
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
        "select not exists (select from lockstep.job)",
    )?;
    other.signal(Signal::SIGTERM)?;
    let (status, log) = other.end()?;
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep.integration_event"
        )?,
        3
    );
    assert_eq!(
        number(&mut client, "select count(*) from lockstep.job_runner")?,
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
            &format!("select count(*) = {jobs} from lockstep.integration_event"),
        )
    };
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    done(&mut client, 1)?;
    let runner = number(&mut client, "select max(id) from lockstep.job_runner")?;
    client.batch_execute(
        "select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name = 'lockstep-sidecar'",
    )?;
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    done(&mut client, 2)?;
    // Its lease has lasted.
    assert_eq!(
        number(&mut client, "select max(id) from lockstep.job_runner")?,
        runner
    );
    client.batch_execute("delete from lockstep.job_runner")?;
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    done(&mut client, 3)?;
    ensure!(number(&mut client, "select max(id) from lockstep.job_runner")? > runner);
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    assert_eq!(status, Some(0), "{log}");
    Ok(())
}

/// A job that was done after its lease had ended is handed in too late: that is refused, and the other does it again.
#[test]
fn late_completion_is_refused() -> Result<()> {
    let name = "work_late";
    let (mut client, mut holder, sidecar) = busy(name, &["--lease", "86400", "--poll", "3600"])?;
    client.batch_execute(
        "update lockstep.job_runner set leased_until = now() - interval '1 second'",
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
        "select exists (select from lockstep.integration_event)",
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
