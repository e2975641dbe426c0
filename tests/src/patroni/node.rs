//! One server and the Patroni that starts, stops and promotes it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::PATIENCE;
use super::programs::Programs;
use crate::account::Account;
use crate::cluster::SUPERUSER;
use crate::home::{Home, clusters};

/// What is decided before a node exists.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) home: Home,
    pub(super) account: Account,
    pub(super) port: u16,
    pub(super) port_of_api: u16,
}

#[derive(Debug)]
pub struct Node {
    name: String,
    home: Home,
    account: Account,
    port: u16,
    port_of_api: u16,
    patroni: PathBuf,
    log: PathBuf,
    process: Option<Child>,
    is_frozen: bool,
}

impl Node {
    /// Writes the configuration; the first node that starts creates the data.
    pub(super) fn prepare(
        plan: Plan,
        programs: &Programs,
        dynamic: &Value,
        password: &str,
        etcd: u16,
    ) -> Result<Self> {
        let Plan {
            name,
            home,
            account,
            port,
            port_of_api,
        } = plan;
        // Patroni needs more programs than a server does.
        home.installation.complete()?;
        // The home's own copy, so that tests/sweep knows whose process it is.
        let python = home.path().join("patroni");
        fs::copy(&programs.python, &python).context("cannot copy Patroni's interpreter")?;
        fs::set_permissions(&python, Permissions::from_mode(0o755))?;
        let log = clusters()?.join(format!("{name}.log"));
        File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let node = Self {
            name,
            home,
            account,
            port,
            port_of_api,
            patroni: programs.patroni.clone(),
            log,
            process: None,
            is_frozen: false,
        };
        let settings = node.settings(dynamic, password, etcd);
        let file = node.configuration();
        File::create(&file)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        account.own(&file)?;
        // JSON is YAML.
        fs::write(&file, settings.to_string())?;
        Ok(node)
    }

    fn configuration(&self) -> PathBuf {
        self.home.path().join("patroni.yml")
    }

    /// Patroni moves and removes the data directory, so it owns the one above.
    fn data(&self) -> PathBuf {
        self.home.data().join("main")
    }

    fn settings(&self, dynamic: &Value, password: &str, etcd: u16) -> Value {
        let api = format!("127.0.0.1:{}", self.port_of_api);
        let server = format!("127.0.0.1:{}", self.port);
        let account = |name: &str| json!({"username": name, "password": password});
        json!({
            "scope": "lockstep",
            "name": self.name,
            "restapi": {"listen": api, "connect_address": api},
            "etcd3": {"host": format!("127.0.0.1:{etcd}")},
            "bootstrap": {
                "dcs": dynamic,
                "initdb": ["no-sync", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
                "pg_hba": [
                    "local all all trust",
                    "host all all 127.0.0.1/32 scram-sha-256",
                    "host replication all 127.0.0.1/32 scram-sha-256",
                ],
            },
            "postgresql": {
                "listen": server,
                "connect_address": server,
                "bin_dir": self.home.installation.bin,
                "data_dir": self.data(),
                "pgpass": self.home.data().join("pgpass"),
                "use_unix_socket": true,
                "parameters": {"unix_socket_directories": self.home.socket()},
                "authentication": {
                    "superuser": account(SUPERUSER),
                    "replication": account("replicator"),
                    "rewind": account(SUPERUSER),
                },
            },
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the server's socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.home.socket()
    }

    /// The log of Patroni and of the server.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The address of Patroni's REST API.
    pub(super) fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.port_of_api)
    }

    /// Starts Patroni, which starts the server.
    pub fn start(&mut self) -> Result<()> {
        let log = OpenOptions::new().append(true).open(&self.log)?;
        let process = self
            .account
            .command(self.interpreter())
            .arg(&self.patroni)
            .arg(self.configuration())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start Patroni")?;
        self.process = Some(process);
        Ok(())
    }

    /// `kill -9` of the postmaster; its children notice and exit.
    pub fn kill_postmaster(&self) -> Result<()> {
        let postmaster = self.postmaster().context("no server runs here")?;
        kill(postmaster, Signal::SIGKILL)?;
        Ok(())
    }

    /// `kill -9` of Patroni, and then of the postmaster.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        if let Some(postmaster) = self.postmaster() {
            // It may have ended by now.
            kill(postmaster, Signal::SIGKILL).ok();
        }
        if self.is_frozen {
            // They could not notice that their postmaster has ended.
            self.signal_all(Signal::SIGKILL)?;
            self.is_frozen = false;
        }
        let begun = Instant::now();
        while !self.processes(&[self.server()])?.is_empty() {
            ensure!(
                begun.elapsed() < PATIENCE,
                "the server does not end, see {}",
                self.log.display()
            );
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops all of its processes, as if the machine hung: connections stay, and are accepted, and nobody answers.
    pub fn freeze(&mut self) -> Result<()> {
        self.is_frozen = true;
        // The postmaster starts no more once it is stopped, and Patroni starts no other.
        for _ in 0..2 {
            self.signal_all(Signal::SIGSTOP)?;
        }
        Ok(())
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        for process in self.processes(&[self.interpreter(), self.server()])? {
            // It may have ended by now.
            kill(process, signal).ok();
        }
        Ok(())
    }

    fn interpreter(&self) -> PathBuf {
        self.home.path().join("patroni")
    }

    fn server(&self) -> PathBuf {
        self.home.installation.bin.join("postgres")
    }

    /// The postmaster, if it is there and is this node's: the file stays when a server is killed.
    fn postmaster(&self) -> Option<Pid> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let pid: i32 = file.lines().next()?.trim().parse().ok()?;
        runs(&pid.to_string(), &[self.server()]).then(|| Pid::from_raw(pid))
    }

    /// All processes that run one of these programs, which are this node's own.
    fn processes(&self, programs: &[PathBuf]) -> Result<Vec<Pid>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if let Ok(pid) = name.parse()
                && runs(&name, programs)
            {
                found.push(Pid::from_raw(pid));
            }
        }
        Ok(found)
    }
}

fn runs(pid: &str, programs: &[PathBuf]) -> bool {
    let running = fs::read_link(format!("/proc/{pid}/exe"));
    running.is_ok_and(|running| {
        let mut files = programs.iter().map(fs::canonicalize);
        files.any(|file| file.is_ok_and(|file| file == running))
    })
}
