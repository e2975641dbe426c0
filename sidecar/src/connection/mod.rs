//! The database's address ([`libpq`]), and connecting to it.

mod libpq;

use std::env;
use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Connection as PgConnection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use crate::error::Error;
use crate::outage::Outage;
use crate::settings::SecretParser;
use crate::tls::{self, Check};

use libpq::CONNECT_TIMEOUT;

/// How long a server may leave data unacknowledged before keepalives check whether it is there.
const GONE: Duration = Duration::from_secs(10);

macro_rules! connection_help {
    () => {
        "\
The connection: --database-url, else DATABASE_URL, as postgres://user@host/database or as \"host=... dbname=...\". What it \
         leaves out is taken from libpq's variables, as PGHOST, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE and PGSSLROOTCERT; one that \
         is not supported is refused. sslmode is disable, prefer (the default), require, verify-ca or verify-full; sslrootcert names the \
         file of the authority of the server's certificate, or of that certificate if the server has signed it itself; without it those \
         count that the system trusts. A server's name is looked for in subjectAltName only. sslcert and sslkey are our own. \
         RUST_LOG=lockstep_sidecar=debug tells about connections."
    };
}
pub(crate) use connection_help;

/// The database's address
#[derive(Args, Debug)]
#[command(next_help_heading = "Database")]
pub(crate) struct Connection {
    /// The database, as a URL or as keywords; may contain a password, which is never shown
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, value_parser = SecretParser)]
    pub(crate) database_url: Option<SecretString>,
}

/// How long a database host may take to respond before the next one is tried: Slack waits for three seconds in total.
pub(crate) const HELLO: Duration = Duration::from_millis(1_500);

type Connected = (
    Client,
    PgConnection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
);

/// Connects to one database, repeatedly if necessary.
#[derive(Clone)]
pub(crate) struct Address {
    /// One per host: a host that does not respond must not use up the time of the others.
    hosts: Vec<Config>,
    /// Which of them was the primary the last time. Only one can be, and a host before it that is gone without an answer would cost
    /// each new session its timeout.
    primary: Arc<AtomicUsize>,
    tls: MakeRustlsConnect,
    /// Whether a server that takes no TLS from us is asked without: nobody who names an authority means that.
    may_be_plain: bool,
    is_pooled: bool,
    outage: Arc<Outage>,
}

impl Address {
    pub(crate) fn new(url: Option<&SecretString>) -> Result<Self, Error> {
        let url = url.map_or("", |url| url.expose_secret());
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let (mut config, wanted) = libpq::read(url, &variable)?;
        // A server that vanished is noticed within half a minute, not after a quarter of an hour.
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(GONE);
        }
        config.keepalives_idle(GONE);
        config.keepalives_interval(GONE / 2);
        Ok(Self {
            hosts: one_by_one(&config),
            primary: Arc::default(),
            tls: tls::connector(&wanted)?,
            may_be_plain: config.get_ssl_mode() == SslMode::Prefer
                && wanted.check == Check::Nothing,
            is_pooled: false,
            outage: Arc::default(),
        })
    }

    /// With a transaction-mode pooler in between, nothing may depend on the session.
    pub(crate) fn through_pooler(mut self, is_pooled: bool) -> Self {
        self.is_pooled = is_pooled;
        self
    }

    /// For requests, which have little time: this timeout for each host, unless the URL has one.
    pub(crate) fn within(mut self, patience: Duration) -> Self {
        for host in &mut self.hosts {
            if host.get_connect_timeout() == Some(&CONNECT_TIMEOUT) {
                host.connect_timeout(patience);
            }
        }
        self
    }

    pub(crate) fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        self.connect_listening(|| {}).await
    }

    /// The same; `wake` is called on each notification.
    pub(crate) async fn connect_listening(
        &self,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Client, Error> {
        let (client, _) = self.open(wake).await?;
        Ok(client)
    }

    /// A session with the first suitable host, and the task that serves it.
    pub(crate) async fn open(
        &self,
        wake: impl Fn() + Send + 'static,
    ) -> Result<(Client, JoinHandle<()>), Error> {
        let mut failure = Error::Silent;
        let begun = Instant::now();
        for (place, host) in self.in_turn() {
            let patience = host.get_connect_timeout().copied();
            let connecting = self.call(host);
            // The driver's own timeout does not include the server's startup response.
            match timeout(patience.unwrap_or(CONNECT_TIMEOUT), connecting).await {
                Ok(Ok((client, connection))) => {
                    debug!(server = name_of(host), "connected");
                    self.primary.store(place, Ordering::Relaxed);
                    self.answered(begun);
                    return Ok((client, tokio::spawn(serve(connection, wake))));
                }
                Ok(Err(source)) => {
                    failure = Error::Connect {
                        server: name_of(host),
                        source,
                    };
                }
                Err(_) => debug!(server = name_of(host), "no answer"),
            }
        }
        self.note(&failure);
        Err(failure)
    }

    /// Connects to a host. With `sslmode=prefer` it is asked again without TLS where TLS is what fails, as libpq does.
    async fn call(&self, host: &Config) -> Result<Connected, tokio_postgres::Error> {
        match host.connect(self.tls.clone()).await {
            Err(error) if self.may_be_plain && is_about_tls(&error) => {
                let mut plain = host.clone();
                plain.ssl_mode(SslMode::Disable);
                plain.connect(self.tls.clone()).await.map_err(|_| error)
            }
            answer => answer,
        }
    }

    /// The hosts with their places, the last primary first. Where any server will do, they come in the order of the URL.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &Config)> {
        let asks_for_primary =
            |host: &Config| host.get_target_session_attrs() == TargetSessionAttrs::ReadWrite;
        let first = match self.hosts.iter().all(asks_for_primary) {
            true => self.primary.load(Ordering::Relaxed),
            false => 0,
        };
        let places = self.hosts.iter().enumerate();
        places.clone().skip(first).chain(places.take(first))
    }

    /// Notes that a call has failed, if it is since the database is away.
    pub(crate) fn note(&self, error: &Error) {
        // A session that is lost may be the only one.
        if error.is_outage() && !error.is_lost_session() {
            self.outage.failed(&self.server(), &error.report());
        }
    }

    /// Notes that a call that began then got its answer.
    pub(crate) fn answered(&self, begun: Instant) {
        self.outage.answered(|| self.server(), begun);
    }

    /// Cancels the statement that a client is waiting for.
    pub(crate) async fn cancel(&self, token: &tokio_postgres::CancelToken) {
        if let Err(error) = token.cancel_query(self.tls.clone()).await {
            debug!(%error, "could not cancel the statement");
        }
    }

    /// The servers' names for messages: hosts and ports, nothing else from the URL.
    pub(crate) fn server(&self) -> String {
        let names: Vec<String> = self.hosts.iter().map(name_of).collect();
        names.join(", ")
    }
}

/// Whether the same could succeed without TLS: the handshake fails, or pg_hba.conf has no place for connections with TLS.
fn is_about_tls(error: &tokio_postgres::Error) -> bool {
    let cause = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    let is_handshake = cause
        .and_then(io::Error::get_ref)
        .is_some_and(|it| it.is::<rustls::Error>());
    is_handshake || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

async fn serve<S, T>(mut connection: PgConnection<S, T>, wake: impl Fn())
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => wake(),
            Some(Ok(_)) => {}
            // The client's user gets the error as well.
            Some(Err(error)) => {
                debug!(%error, "the connection ended");
                return;
            }
            None => return,
        }
    }
}

fn name_of(host: &Config) -> String {
    let port = host.get_ports().first().copied().unwrap_or(5432);
    match host.get_hosts().first() {
        Some(Host::Tcp(host)) => format!("{host}:{port}"),
        Some(Host::Unix(directory)) => format!("{} (port {port})", directory.display()),
        None => match host.get_hostaddrs().first() {
            Some(address) => format!("{address}:{port}"),
            None => "the server".to_owned(),
        },
    }
}

/// The same connection for each host separately.
fn one_by_one(config: &Config) -> Vec<Config> {
    let hosts = config.get_hosts();
    let addresses = config.get_hostaddrs();
    let ports = config.get_ports();
    let count = hosts.len().max(addresses.len());
    let of = |place: usize| {
        let mut one = Config::new();
        match hosts.get(place) {
            Some(Host::Tcp(host)) => {
                one.host(host);
            }
            Some(Host::Unix(directory)) => {
                one.host_path(directory);
            }
            None => {}
        }
        if let Some(address) = addresses.get(place) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(place).or(ports.first()) {
            one.port(*port);
        }
        if let Some(user) = config.get_user() {
            one.user(user);
        }
        if let Some(database) = config.get_dbname() {
            one.dbname(database);
        }
        if let Some(options) = config.get_options() {
            one.options(options);
        }
        if let Some(name) = config.get_application_name() {
            one.application_name(name);
        }
        if let Some(password) = config.get_password() {
            one.password(password);
        }
        if let Some(patience) = config.get_connect_timeout() {
            one.connect_timeout(*patience);
        }
        if let Some(patience) = config.get_tcp_user_timeout() {
            one.tcp_user_timeout(*patience);
        }
        if let Some(interval) = config.get_keepalives_interval() {
            one.keepalives_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            one.keepalives_retries(retries);
        }
        one.keepalives(config.get_keepalives())
            .keepalives_idle(config.get_keepalives_idle())
            .ssl_mode(config.get_ssl_mode())
            .ssl_negotiation(config.get_ssl_negotiation())
            .channel_binding(config.get_channel_binding())
            .target_session_attrs(config.get_target_session_attrs());
        one
    };
    (0..count).map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use secrecy::SecretString;

    use super::Address;
    use crate::error::Error;

    fn refusal(url: &str) -> Option<String> {
        let address = Address::new(Some(&SecretString::from(url)));
        address.err().map(|error| error.report())
    }

    #[test]
    fn both_forms_are_taken() {
        for url in [
            "postgres://dba:secret@db.example:5433/gitlab?sslmode=verify-full",
            "host=/tmp port=5433 user=dba password=secret dbname=gitlab sslmode=require",
            "",
        ] {
            assert_eq!(refusal(url), None, "{url}");
        }
    }

    #[test]
    fn refusal_quotes_no_password() {
        for url in [
            "postgres://dba:top secret@db.example:x/gitlab",
            "host=/tmp password=top secret dbname=gitlab",
            "host=/tmp password='secret",
            "secret",
        ] {
            let text = refusal(url).unwrap_or_default();
            assert!(text.starts_with("error: the database URL"), "{url}: {text}");
            assert!(!text.contains("cret"), "{url}: {text}");
        }
        let text = refusal("host=/tmp sslmode=maybe").unwrap_or_default();
        assert!(text.contains("sslmode"), "{text}");
    }

    /// The places of the hosts as they are tried, once the second was the primary.
    fn turns(url: &str) -> Result<Vec<usize>, Error> {
        let address = Address::new(Some(&SecretString::from(url)))?;
        address.primary.store(1, Ordering::Relaxed);
        Ok(address.in_turn().map(|(place, _)| place).collect())
    }

    #[test]
    fn last_primary_is_tried_first() -> Result<(), Error> {
        let url = "host=a,b,c dbname=gitlab target_session_attrs=read-write";
        assert_eq!(turns(url)?, [1, 2, 0]);
        assert_eq!(turns("host=a,b,c dbname=gitlab")?, [0, 1, 2]);
        Ok(())
    }

    #[test]
    fn server_is_named_without_user_and_password() -> Result<(), Error> {
        let url = SecretString::from("postgres://dba:secret@db.example:5433/gitlab");
        assert_eq!(Address::new(Some(&url))?.server(), "db.example:5433");
        Ok(())
    }
}
