//! PgBouncer in transaction mode in front of a cluster, on a socket next to the cluster's own.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use postgres::{Client, Config, NoTls};

use crate::cluster::{Cluster, SUPERUSER};
use crate::home::clusters;

/// Names the socket's file.
pub const PORT: u16 = 6432;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running pool; it is stopped when this is dropped, or by tests/sweep together with its cluster.
#[derive(Debug)]
pub struct PgBouncer {
    socket: PathBuf,
    log: PathBuf,
    process: Child,
}

impl PgBouncer {
    /// Starts a cluster's pool, with this many server connections per database and role. Every role of the cluster may connect.
    /// Its log is `target/pg/<purpose>.log`.
    pub fn start(cluster: &Cluster, purpose: &str, connections: u32) -> Result<Self> {
        let home = cluster.home();
        // The cluster's own copy, so that tests/sweep knows whose process it is.
        let program = home.path().join("pgbouncer");
        fs::copy(installed()?, &program).context("cannot copy pgbouncer")?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        let users = home.path().join("pgbouncer.users");
        fs::write(&users, format!("\"{SUPERUSER}\" \"\"\n"))?;
        let socket = cluster.socket();
        let settings = format!(
            "[databases]\n\
             * = host='{socket}' port={server}\n\
             [pgbouncer]\n\
             listen_addr =\n\
             listen_port = {PORT}\n\
             unix_socket_dir = {socket}\n\
             unix_socket_mode = 0700\n\
             auth_type = trust\n\
             auth_file = {users}\n\
             auth_user = {SUPERUSER}\n\
             admin_users = {SUPERUSER}\n\
             pool_mode = transaction\n\
             default_pool_size = {connections}\n\
             max_client_conn = 200\n\
             ignore_startup_parameters = extra_float_digits\n",
            socket = socket.display(),
            server = crate::cluster::PORT,
            users = users.display(),
        );
        let file = home.path().join("pgbouncer.ini");
        fs::write(&file, settings)?;
        for path in [&users, &file] {
            fs::set_permissions(path, Permissions::from_mode(0o644))?;
        }
        let log = clusters()?.join(format!("{purpose}.log"));
        let output =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        // Like the server, PgBouncer refuses to run as root.
        let process = cluster
            .account()
            .command(&program)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start pgbouncer")?;
        let mut pool = Self {
            socket,
            log,
            process,
        };
        pool.wait_until_ready()?;
        Ok(pool)
    }

    /// How to connect to a database through the pool as superuser.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(&self.socket)
            .port(PORT)
            .user(SUPERUSER)
            .dbname(database);
        config
    }

    /// A database through the pool as a connection string of keywords.
    pub fn address(&self, database: &str) -> String {
        format!(
            "host='{}' port={PORT} user={SUPERUSER} dbname={database}",
            self.socket.display()
        )
    }

    /// Connects to a database through the pool as superuser. The database `pgbouncer` is its console, which only accepts simple
    /// queries.
    pub fn connect(&self, database: &str) -> Result<Client> {
        self.config(database)
            .connect(NoTls)
            .with_context(|| format!("cannot connect to {database}, see {}", self.log.display()))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.config("pgbouncer").connect(NoTls) {
                Ok(_) => return Ok(()),
                Err(_) if self.process.try_wait()?.is_some() => {
                    bail!("pgbouncer did not start, see {}", self.log.display())
                }
                Err(_) if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(10)),
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("pgbouncer does not answer, see {}", self.log.display())
                    });
                }
            }
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // A killed pool leaves its socket, and the next one would believe that a pool is running.
        let name = format!(".s.PGSQL.{PORT}");
        let _ = fs::remove_file(self.socket.join(name));
    }
}

/// Debian installs it in a directory that only root's PATH contains.
fn installed() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|directory| directory.join("pgbouncer"))
        .find(|program| program.exists())
        .context("pgbouncer is missing: .ci/setup tests installs it")
}
