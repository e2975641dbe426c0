//! The measured servers: ours, and Bolt for JavaScript, Slack's own framework.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lockstep_tests::slack::{App, Caller};
use lockstep_tests::target;
use nix::unistd::{SysconfVar, sysconf};

use super::placement::Placement;
use crate::npm;

/// Where Slack sends commands.
pub(super) const PATH: &str = "/api/v4/slack/trigger";
pub(super) const COMMAND: &str = "/gitlab";

pub(super) const BOLT: &str = "@slack/bolt";
pub(super) const BOLT_VERSION: &str = "5.1.0";
const BOLT_SCRIPT: &str = include_str!("bolt.js");

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs until this is dropped.
pub(super) struct Contender {
    process: Child,
    pub(super) address: SocketAddr,
    pub(super) caller: Caller,
}

impl Contender {
    /// `lockstep-sidecar serve` as shipped, with only the required settings.
    pub(super) fn sidecar(
        placement: Placement,
        database: &str,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let app = App::default();
        let mut command = placement.command(target().join("release/lockstep-sidecar"));
        // Only problems matter here, not what it logs at startup.
        command.arg("serve").env("RUST_LOG", "warn");
        Self::start(command, app, |command, address, app| {
            command
                .env("LOCKSTEP_LISTEN", address.to_string())
                .env("LOCKSTEP_ADMIN_LISTEN", "127.0.0.1:0")
                .env("LOCKSTEP_PUBLIC_URL", "https://slack.example")
                .env("SLACK_CLIENT_ID", &app.client_id)
                .env("SLACK_CLIENT_SECRET", &app.client_secret)
                .env("SLACK_SIGNING_SECRET", &app.signing_secret)
                .env("LOCKSTEP_TOKEN_KEY", "0123456789abcdef0123456789abcdef")
                .env("DATABASE_URL", database)
                .envs(settings.iter().copied());
        })
    }

    /// Bolt as installed by npm, responding to each command with that text.
    pub(super) fn bolt(placement: Placement, text: &str) -> Result<Self> {
        let directory = npm::directory(BOLT, BOLT_VERSION);
        fs::write(directory.join("bolt.js"), BOLT_SCRIPT)?;
        let app = App::default();
        let mut command = placement.command("node");
        command.arg("bolt.js").current_dir(directory);
        Self::start(command, app, |command, address, app| {
            command
                .env("NODE_ENV", "production")
                .env("BOLT_COMMAND", COMMAND)
                .env("BOLT_PATH", PATH)
                .env("BOLT_PORT", address.port().to_string())
                .env("BOLT_SECRET", &app.signing_secret)
                .env("BOLT_TEXT", text);
        })
    }

    fn start(
        mut command: Command,
        app: App,
        configure: impl FnOnce(&mut Command, SocketAddr, &App),
    ) -> Result<Self> {
        // It was free a moment ago, and nobody else uses loopback ports here.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        configure(&mut command, address, &app);
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        let mut contender = Self {
            process,
            address,
            caller: Caller::new(&format!("http://{address}"), app).with_patience(PATIENCE),
        };
        contender.wait()?;
        Ok(contender)
    }

    fn wait(&mut self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("a server ended: {status}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("a server does not start");
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Peak resident memory so far, in MB. `taskset` execs the server, so this is the server's.
    pub(super) fn peak_memory(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let kilobytes: f64 = kilobytes.context("no VmHWM in /proc")?.parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }

    /// CPU time of all its threads so far, in seconds.
    pub(super) fn cpu_time(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The program name, in parentheses, may contain spaces.
        let (_, fields) = status.rsplit_once(')').context("no name in /proc")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |place: usize| -> Result<f64> {
            Ok(fields
                .get(place)
                .context("too short a line in /proc")?
                .parse()?)
        };
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock")?;
        Ok((ticks(USER)? + ticks(SYSTEM)?) / per_second as f64)
    }
}

/// Fields of `/proc/PID/stat` after the name.
const USER: usize = 11;
const SYSTEM: usize = 12;

impl Drop for Contender {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
