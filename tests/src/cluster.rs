//! A private PostgreSQL cluster on a unix socket, with the extension under test.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, Config, NoTls};

use crate::account::{Account, command};
use crate::home::{Home, clusters, sweep_script};

/// The port names the socket's file, and the socket's directory belongs to the cluster, so it is always free.
pub const PORT: u16 = 5432;

/// The superuser of the cluster.
pub const SUPERUSER: &str = "postgres";

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Settings of every cluster. Without fsync a killed server still recovers, because the kernel has what it wrote.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "100"),
    ("max_prepared_transactions", "20"),
    ("wal_level", "logical"),
    ("fsync", "off"),
    ("log_line_prefix", "%m [%p] %d "),
    ("timezone", "UTC"),
];

/// A running server; it is stopped and its files are removed when this is dropped.
///
/// A watchdog does the same if this process ends without dropping it: killed, or with the cluster in a static.
#[derive(Debug)]
pub struct Cluster {
    home: Home,
    account: Account,
    log: PathBuf,
    /// The address space limit of each server process, in bytes.
    memory: Option<u64>,
    server: Child,
    watchdog: Child,
}

impl Cluster {
    /// Creates and starts a cluster. Its log is `target/pg/<purpose>.log`; `settings` override the usual ones.
    pub fn start(purpose: &str, settings: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(purpose, |home, account| {
            initialize(home, account)?;
            configure(home, &SETTINGS, settings)
        })
    }

    /// Creates and starts a cluster with the data that `fill` puts into its home.
    pub(crate) fn start_with(
        purpose: &str,
        fill: impl FnOnce(&Home, Account) -> Result<()>,
    ) -> Result<Self> {
        let account = Account::of_server()?;
        let home = Home::create(purpose, account)?;
        let log = clusters()?.join(format!("{purpose}.log"));
        File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let watchdog = watch()?;
        fill(&home, account)?;
        let server = spawn(&home, account, &log, None)?;
        let mut cluster = Self {
            home,
            account,
            log,
            memory: None,
            server,
            watchdog,
        };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// How to connect to a database as superuser.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.socket())
            .port(PORT)
            .user(SUPERUSER)
            .dbname(database);
        config
    }

    /// A database of the cluster as a connection string of keywords.
    pub fn address(&self, database: &str) -> String {
        format!(
            "host='{}' port={PORT} user={SUPERUSER} dbname={database}",
            self.socket().display()
        )
    }

    /// Connects to a database as superuser.
    pub fn connect(&self, database: &str) -> Result<Client> {
        self.config(database)
            .connect(NoTls)
            .with_context(|| format!("cannot connect to {database}, see {}", self.log.display()))
    }

    /// Creates an empty database and connects to it.
    pub fn create_database(&self, name: &str) -> Result<Client> {
        self.connect("postgres")?
            .batch_execute(&format!("create database \"{name}\""))
            .with_context(|| format!("cannot create database {name}"))?;
        self.connect(name)
    }

    /// The directory of the server's socket.
    pub fn socket(&self) -> PathBuf {
        self.home.socket()
    }

    /// The server's log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// A client program of the installation, such as `psql`, configured to connect to this cluster as superuser.
    pub fn client_program(&self, name: &str) -> Command {
        let mut program = command(self.home.installation.programs.join(name));
        program
            .env("PGHOST", self.socket())
            .env("PGPORT", PORT.to_string())
            .env("PGUSER", SUPERUSER);
        program
    }

    /// The server's major version.
    pub fn major(&self) -> u32 {
        self.home.installation.major
    }

    /// Whether the server has a contrib module; prints a message if not, because a test is then skipped.
    pub fn has_module(&self, name: &str) -> bool {
        let has_it = self.home.installation.has_library(name);
        if !has_it {
            eprintln!("skipped: this server comes without {name}");
        }
        has_it
    }

    /// Newer installed servers that have the extension, to upgrade this cluster to: major version and program directory.
    pub fn newer(&self) -> Result<Vec<(u32, PathBuf)>> {
        let installation = &self.home.installation;
        installation.complete()?;
        let mut found = Vec::new();
        for newer in installation.newer()? {
            let tree = self.home.path().join(format!("newer-{}", newer.major));
            let mirrored = newer.mirror(&tree)?;
            mirrored.complete()?;
            found.push((newer.major, mirrored.bin));
        }
        Ok(found)
    }

    /// The programs of this cluster's server.
    pub fn bin(&self) -> &Path {
        &self.home.installation.bin
    }

    /// The directory of everything that is the cluster's own.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// Where the installation keeps `psql`.
    pub(crate) fn programs(&self) -> &Path {
        &self.home.installation.programs
    }

    /// Where the installation keeps `pg_regress` and `pg_isolation_regress`.
    pub(crate) fn test_programs(&self) -> &Path {
        &self.home.installation.test
    }

    /// Stops the server like `pg_ctl stop -m fast`; `resume` starts it again.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::SIGINT)
    }

    /// Stops the server cleanly and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.resume()
    }

    /// From the next start on, limits each server process to this many bytes of address space.
    pub fn limit_memory(&mut self, bytes: u64) {
        self.memory = Some(bytes);
    }

    /// Kills the postmaster like `kill -9`; its children notice and exit. `resume` starts it again.
    pub fn kill_postmaster(&mut self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    /// Starts a server that was stopped or killed and waits until it has recovered.
    pub fn resume(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            self.server = spawn(&self.home, self.account, &self.log, self.memory)?;
            match self.wait_until_ready() {
                Ok(()) => return Ok(()),
                // Remaining children of a killed postmaster hold its shared memory, and a new one refuses to start.
                Err(_) if start.elapsed() < PATIENCE && self.has_exited()? => {
                    sleep(Duration::from_millis(100))
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn has_exited(&mut self) -> Result<bool> {
        Ok(self.server.try_wait()?.is_some())
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let answer = self.config("postgres").connect(NoTls);
            match answer {
                Ok(_) => return Ok(()),
                Err(_) if self.has_exited()? => {
                    bail!("the server did not start, see {}", self.log.display())
                }
                Err(_) if start.elapsed() < PATIENCE => sleep(Duration::from_millis(20)),
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("the server does not answer, see {}", self.log.display())
                    });
                }
            }
        }
    }

    /// Sends a signal to the postmaster and waits until it is gone.
    fn end(&mut self, signal: Signal) -> Result<()> {
        if self.has_exited()? {
            return Ok(());
        }
        let postmaster = Pid::from_raw(i32::try_from(self.server.id())?);
        kill(postmaster, signal).context("cannot signal the server")?;
        let start = Instant::now();
        while !self.has_exited()? {
            if start.elapsed() > PATIENCE {
                self.server.kill()?;
                self.server.wait()?;
                bail!(
                    "the server did not stop upon {signal}, see {}",
                    self.log.display()
                );
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.end(Signal::SIGQUIT) {
            eprintln!("{error:#}");
        }
        // The watchdog ends with its input; it is reaped here, while this cluster's lock is still held.
        drop(self.watchdog.stdin.take());
        self.watchdog.wait().ok();
    }
}

/// Starts the process that waits for this one to end in any way, and then sweeps.
pub(crate) fn watch() -> Result<Child> {
    command("sh")
        .args(["-c", "read -r _; exec \"$0\""])
        .arg(sweep_script())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start the watchdog")
}

/// Creates the data directory with a locale that every system has, preferably with UTF-8 character classes.
fn initialize(home: &Home, account: Account) -> Result<()> {
    let run = |locale: &str| {
        account
            .command(home.installation.bin.join("initdb"))
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--username",
                SUPERUSER,
            ])
            .args(["--locale", locale, "--pgdata"])
            .arg(home.data())
            .output()
            .context("cannot run initdb")
    };
    let mut output = run("C.UTF-8")?;
    if !output.status.success() {
        output = run("C")?;
    }
    if !output.status.success() {
        bail!(
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Appends settings and the socket directory to the configuration; the last setting of a name counts.
pub(crate) fn configure(
    home: &Home,
    usual: &[(&str, &str)],
    settings: &[(&str, &str)],
) -> Result<()> {
    let socket = home.socket();
    let socket = ("unix_socket_directories", &*socket.to_string_lossy());
    let mut file = OpenOptions::new()
        .append(true)
        .open(home.data().join("postgresql.conf"))?;
    for (name, value) in usual.iter().chain([&socket]).chain(settings) {
        writeln!(file, "{name} = '{value}'")?;
    }
    Ok(())
}

fn spawn(home: &Home, account: Account, log: &Path, memory: Option<u64>) -> Result<Child> {
    let log = fs::OpenOptions::new().append(true).open(log)?;
    let limit = memory.map_or("unlimited".to_owned(), |bytes| (bytes / 1024).to_string());
    account
        .command("sh")
        .args(["-c", "ulimit -v $0; exec \"$@\"", &limit])
        .arg(home.installation.bin.join("postgres"))
        .arg("-D")
        .arg(home.data())
        // As an administrator might set it: the extension's errors still contain no backtrace.
        .env("RUST_BACKTRACE", "full")
        .env("RUST_LIB_BACKTRACE", "full")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the server")
}
