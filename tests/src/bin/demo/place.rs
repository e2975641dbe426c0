//! Where the demo runs: on a private server, or in its own database on the server in DATABASE_URL.

use std::borrow::Cow;
use std::thread;

use anyhow::{Context, Result, ensure};
use lockstep_tests::cluster::Cluster;
use postgres::config::Host;
use postgres::{Client, Config, NoTls};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A database that is dropped with this.
pub(crate) enum Place {
    Private(Box<Cluster>),
    Given(Box<Given>),
}

/// A database created on an existing server.
#[derive(Clone)]
pub(crate) struct Given {
    server: Config,
    database: String,
}

impl Place {
    /// Chooses the place and creates the database.
    pub(crate) fn open() -> Result<Self> {
        match std::env::var("DATABASE_URL") {
            Ok(url) if !url.is_empty() => Ok(Self::Given(Box::new(Given::create(&url)?))),
            _ => {
                let cluster = Cluster::start("demo", &[])?;
                cluster.create_database("demo")?;
                Ok(Self::Private(Box::new(cluster)))
            }
        }
    }

    /// A new session in the database.
    pub(crate) fn connect(&self) -> Result<Client> {
        match self {
            Self::Private(cluster) => cluster.connect("demo"),
            Self::Given(given) => Ok(given
                .server
                .clone()
                .dbname(&given.database)
                .connect(NoTls)?),
        }
    }

    /// The database as a connection string of keywords; it may hold a password.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Private(cluster) => cluster.address("demo"),
            Self::Given(given) => given.address(),
        }
    }

    /// The place in readable form.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Private(_) => "a private server".to_owned(),
            Self::Given(given) => format!("database {} of DATABASE_URL", given.database),
        }
    }
}

impl Given {
    fn create(url: &str) -> Result<Self> {
        let server: Config = url
            .parse()
            .context("DATABASE_URL is no connection string")?;
        let mut client = server
            .connect(NoTls)
            .context("cannot connect to DATABASE_URL")?;
        let found = "select exists (select from pg_available_extensions where name = 'lockstep'), \
                            rolsuper from pg_roles where rolname = current_user";
        let row = client.query_one(found, &[])?;
        ensure!(
            row.get::<_, bool>(0),
            "lockstep is not installed on that server: run make install PG_CONFIG=... on its machine"
        );
        ensure!(
            row.get::<_, bool>(1),
            "the role of DATABASE_URL is no superuser, so it may create neither a database nor the extension"
        );
        let given = Self {
            server,
            database: format!("lockstep_demo_{}", std::process::id()),
        };
        given.drop_upon_signal()?;
        client
            .batch_execute(&format!("create database {}", given.database))
            .context("cannot create a database on DATABASE_URL's server")?;
        Ok(given)
    }

    /// DATABASE_URL without the database.
    fn address(&self) -> String {
        let hosts = self.server.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let ports = self.server.get_ports().iter().map(u16::to_string);
        let password = self.server.get_password().map(String::from_utf8_lossy);
        let parts = [
            ("host", Some(hosts.collect::<Vec<_>>().join(","))),
            ("port", Some(ports.collect::<Vec<_>>().join(","))),
            ("user", self.server.get_user().map(str::to_owned)),
            ("password", password.map(Cow::into_owned)),
            ("dbname", Some(self.database.clone())),
            ("sslmode", Some("disable".to_owned())),
        ];
        let parts = parts.into_iter().filter_map(|(name, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            Some(format!("{name}='{value}'"))
        });
        parts.collect::<Vec<_>>().join(" ")
    }

    /// Otherwise nobody would drop the database if this process were interrupted.
    fn drop_upon_signal(&self) -> Result<()> {
        let given = self.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                given.drop_database();
                std::process::exit(128 + signal);
            }
        });
        Ok(())
    }

    fn drop_database(&self) {
        let dropped = self.server.connect(NoTls).and_then(|mut client| {
            client.batch_execute(&format!(
                "drop database if exists {} with (force)",
                self.database
            ))
        });
        if let Err(error) = dropped {
            eprintln!("demo: cannot drop database {}: {error}", self.database);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Given(given) = self {
            given.drop_database();
        }
    }
}
