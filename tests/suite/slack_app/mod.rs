//! The sidecar's command `serve` between a database and a fake Slack, as set up by the app's tests.

mod allowed;
mod batch;
mod contract;
mod event;
mod failover;
mod fault;
mod home;
mod install;
mod install_failure;
mod page;
mod resolver;
mod revoked;
mod signed;
mod silent;
mod stop;
mod token;
mod trouble;
mod unread;

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lockstep_tests::host::Layout;
use lockstep_tests::http::{Http, Reply};
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Caller, FakeSlack};
use lockstep_tests::target;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::{cluster, with_slack};

pub(crate) const EVENTS: &str = "/api/v4/integrations/slack/events";
pub(crate) const INTERACTIONS: &str = "/api/v4/integrations/slack/interactions";
pub(crate) const OPTIONS: &str = "/api/v4/integrations/slack/options";
pub(crate) const COMMANDS: &str = "/api/v4/slack/trigger";

/// The key that encrypts tokens in these tests.
pub(crate) const TOKEN_KEY: &str = "0123456789abcdef0123456789abcdef-and-more";

/// A serving sidecar; it is killed when the test ends.
pub(crate) struct Sidecar {
    process: Child,
    /// A file, not a pipe: what it said before an answer is there once the answer is.
    log: File,
    pub(crate) base: String,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sidecar {
    /// Starts one configured for a fake Slack's app, and waits until it listens.
    pub(crate) fn start(database_url: &str, slack: &FakeSlack, arguments: &[&str]) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Self::start_on(port, database_url, slack, arguments)
    }

    pub(crate) fn start_on(
        port: u16,
        database_url: &str,
        slack: &FakeSlack,
        arguments: &[&str],
    ) -> Result<Self> {
        let base = format!("http://127.0.0.1:{port}");
        let mut serve = command("serve", database_url, slack);
        serve
            .arg(format!("--listen=127.0.0.1:{port}"))
            .arg(format!("--public-url={base}"))
            .args(arguments);
        Self::of(serve, base)
    }

    /// Runs the command, which listens at that address.
    pub(crate) fn of(mut serve: Command, base: String) -> Result<Self> {
        let log = File::from(memfd_create(c"log", MFdFlags::MFD_CLOEXEC)?);
        let process = serve
            .stdout(Stdio::null())
            .stderr(log.try_clone()?)
            .spawn()?;
        let mut sidecar = Self { process, log, base };
        sidecar.wait_for_log("listening")?;
        Ok(sidecar)
    }

    pub(crate) fn log(&self) -> String {
        let mut log = Vec::new();
        let mut part = [0; 1 << 16];
        while let Ok(count @ 1..) = self.log.read_at(&mut part, log.len() as u64) {
            log.extend_from_slice(&part[..count]);
        }
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(crate) fn wait_for_log(&mut self, words: &str) -> Result<()> {
        let begun = Instant::now();
        while !self.log().contains(words) {
            if let Some(status) = self.process.try_wait()? {
                bail!(
                    "it ended with {status} before it said {words:?}: {}",
                    self.log()
                );
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "it never said {words:?}: {}",
                self.log()
            );
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Peak resident memory in kB.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kilobytes.context("no peak of memory")?.parse()?)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.process.id())?), signal)?;
        Ok(())
    }

    /// Waits for the end of a killed one: then its address is free.
    pub(crate) fn wait_until_dead(&mut self) -> Result<()> {
        self.process.wait()?;
        Ok(())
    }

    /// Its exit code and everything it logged.
    pub(crate) fn end(mut self) -> Result<(Option<i32>, String)> {
        let status = self.process.wait()?.code();
        Ok((status, self.log()))
    }

    pub(crate) fn get(&self, path: &str) -> Result<Reply> {
        http().get(&format!("{}{path}", self.base), &[])
    }

    /// Waits until it is ready.
    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let ready = self.get("/readyz")?;
            if ready.status == 200 {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "not ready: {}\n{}",
                ready.text(),
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// All of its metrics.
    pub(crate) fn metrics(&self) -> Result<String> {
        let reply = http().get(&format!("{}/metrics", self.admin()?), &[])?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        Ok(reply.text())
    }

    /// The address of --admin-listen.
    pub(crate) fn admin(&self) -> Result<String> {
        let log = self.log();
        let (_, rest) = log
            .split_once("admin_address=")
            .context("it names no address")?;
        let address = rest.split_whitespace().next().unwrap_or_default();
        Ok(format!("http://{address}"))
    }

    /// The value of the metrics line that contains these words.
    pub(crate) fn metric(&self, words: &[&str]) -> Result<f64> {
        let text = self.metrics()?;
        let line = text
            .lines()
            .find(|line| !line.starts_with('#') && words.iter().all(|word| line.contains(word)));
        let value = line.and_then(|line| line.rsplit(' ').next());
        Ok(value.map_or(Ok(0.0), str::parse)?)
    }
}

/// A command of the sidecar with the settings for Slack.
pub(crate) fn command(name: &str, database_url: &str, slack: &FakeSlack) -> Command {
    let app = slack.app();
    // A suite that runs under nohup would hand it on that SIGHUP is ignored.
    let mut command = Command::new("/usr/bin/env");
    command
        .arg("--default-signal=HUP")
        .arg(target().join("debug/lockstep-sidecar"))
        .arg(name)
        .env_clear()
        .env("DATABASE_URL", database_url)
        .env("LOCKSTEP_SLACK_URL", slack.base_url())
        .env("SLACK_CLIENT_ID", &app.client_id)
        .env("SLACK_CLIENT_SECRET", &app.client_secret)
        .env("SLACK_SIGNING_SECRET", &app.signing_secret)
        .env("LOCKSTEP_TOKEN_KEY", TOKEN_KEY)
        // Tests run beside each other.
        .env("LOCKSTEP_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

pub(crate) fn http() -> Http {
    Http::new(PATIENCE)
}

/// A database with projects, a fake Slack with a workspace, and a sidecar between them.
pub(crate) struct Stage {
    pub(crate) sidecar: Sidecar,
    pub(crate) slack: FakeSlack,
    pub(crate) caller: Caller,
    pub(crate) client: Client,
    pub(crate) url: String,
}

impl Stage {
    pub(crate) fn set(name: &str) -> Result<Self> {
        Self::set_with(name, App::default(), &[])
    }

    pub(crate) fn set_with(name: &str, app: App, arguments: &[&str]) -> Result<Self> {
        let client = with_projects(name)?;
        let slack = FakeSlack::start(app)?;
        let url = sidecar_url(name)?;
        let sidecar = Sidecar::start(&url, &slack, arguments)?;
        sidecar.wait_until_ready()?;
        let caller = Caller::new(&sidecar.base, slack.app());
        Ok(Self {
            sidecar,
            slack,
            caller,
            client,
            url,
        })
    }

    /// A ticket for a project.
    pub(crate) fn ticket(&mut self, project: i64) -> Result<String> {
        let query = "select lockstep.issue_slack_install_ticket(project_id => $1)";
        Ok(self.client.query_one(query, &[&project])?.get(0))
    }

    /// Follows a browser's path from the app's page through Slack's and back; returns the last response.
    pub(crate) fn install(&self, query: &str) -> Result<Reply> {
        install(&self.sidecar, query)
    }

    pub(crate) fn connect(&mut self, project: i64) -> Result<()> {
        let ticket = self.ticket(project)?;
        let installed = self.install(&format!("?ticket={ticket}"))?;
        ensure!(
            installed.status == 200,
            "{}: {}",
            installed.status,
            installed.text()
        );
        Ok(())
    }

    /// The text of the answer to a slash command.
    pub(crate) fn say(&self, origin: &Origin, text: &str) -> Result<String> {
        let reply = self.caller.command(COMMANDS, origin, "/gitlab", text)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        let message = reply.json()?;
        ensure!(message["response_type"] == "ephemeral", "{message}");
        Ok(message["text"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) fn wait_for(&mut self, query: &str) -> Result<()> {
        let begun = Instant::now();
        while !self.client.query_one(query, &[])?.get::<_, bool>(0) {
            ensure!(
                begun.elapsed() < PATIENCE,
                "waited in vain for {query}\n{}",
                self.sidecar.log()
            );
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

pub(crate) fn install(sidecar: &Sidecar, query: &str) -> Result<Reply> {
    let begun = http().get(&format!("{}/slack/install{query}", sidecar.base), &[])?;
    let cookie = cookie_of(&begun)?;
    let consent = http().get(&way_to_slack(&begun)?, &[])?;
    let back = consent.header("location").context("Slack leads nowhere")?;
    http().get(back, &[("cookie", &cookie)])
}

/// Where the first page of an installation leads: at once, or for a project by a button.
pub(crate) fn way_to_slack(begun: &Reply) -> Result<String> {
    if let Some(location) = begun.header("location") {
        return Ok(location.to_owned());
    }
    let text = begun.text();
    ensure!(begun.status == 200, "{}: {text}", begun.status);
    let (_, rest) = text
        .split_once("class=\"button\" href=\"")
        .context("no button")?;
    let (link, _) = rest.split_once('"').context("no end of a link")?;
    Ok(link.replace("&amp;", "&"))
}

/// What a browser sends back for a cookie.
pub(crate) fn cookie_of(reply: &Reply) -> Result<String> {
    let cookie = reply.header("set-cookie").context("no cookie")?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// The application's tables, attached, with projects 1 to 3 in a group, and a role for sidecars.
pub(crate) fn with_projects(name: &str) -> Result<Client> {
    let mut client = with_slack(name, Layout::Narrow)?;
    client.batch_execute(
        "do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;
         update namespaces set path = 'group' where id = 1;
         insert into projects (id, name, path, namespace_id) values (1, 'One', 'one', 1), (2, 'Two', 'two', 1), (3, 'Three', 'three', 1)",
    )?;
    Ok(client)
}

/// A sidecar's URL for a database, with a role that may only do what sidecars need.
pub(crate) fn sidecar_url(database: &str) -> Result<String> {
    let mut client = cluster()?.connect("postgres")?;
    // Tests run concurrently, and roles are shared by all databases.
    client.batch_execute(
        "begin;
         select pg_advisory_xact_lock(4711);
         do $$begin
           if to_regrole('sidecar') is null then create role sidecar login in role lockstep_sidecar; end if;
         end$$;
         commit;",
    )?;
    Ok(format!(
        "host='{}' port={} user=sidecar dbname={database}",
        cluster()?.socket().display(),
        lockstep_tests::cluster::PORT
    ))
}
