//! Where the database is, and how it is reached.

use std::env;
use std::future::poll_fn;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::Host;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, info};

use crate::error::Error;
use crate::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Debian's and Red Hat's directory of sockets.
const SOCKETS: &str = "/var/run/postgresql";

/// Reaches one database, again and again if need be.
#[derive(Clone)]
pub(crate) struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    is_pooled: bool,
}

impl Address {
    pub(crate) fn new(url: Option<&SecretString>) -> Result<Self, Error> {
        let url = url.map_or("", |url| url.expose_secret());
        // The driver knows no such mode: to it the certificate is the business of TLS.
        let verified = url.replace("sslmode=verify-full", "sslmode=require");
        let mut config: Config = verified
            .parse()
            .map_err(|error| Error::Address(safe_cause(&error)))?;
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host(variable("PGHOST").as_deref().unwrap_or(SOCKETS));
        }
        if config.get_ports().is_empty()
            && let Some(port) = variable("PGPORT")
        {
            let port = port
                .parse()
                .map_err(|_| Error::Address(": PGPORT is not a port".to_owned()))?;
            config.port(port);
        }
        if config.get_user().is_none()
            && let Some(user) = variable("PGUSER").or_else(|| variable("USER"))
        {
            config.user(user);
        }
        if config.get_password().is_none()
            && let Some(password) = variable("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_dbname().is_none()
            && let Some(database) = variable("PGDATABASE")
        {
            config.dbname(database);
        }
        if config.get_application_name().is_none() {
            config.application_name("lockstep-sidecar");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        Ok(Self {
            config,
            tls: tls::connector(verified != url)?,
            is_pooled: false,
        })
    }

    /// A pooler that shares sessions by the transaction is in between: nothing that lasts longer is asked of one.
    pub(crate) fn through_pooler(mut self, is_pooled: bool) -> Self {
        self.is_pooled = is_pooled;
        self
    }

    pub(crate) fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        self.connect_listening(|| {}).await
    }

    /// The same; `wake` is called at each notification.
    pub(crate) async fn connect_listening(
        &self,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Client, Error> {
        let server = self.server();
        let (client, mut connection) =
            self.config
                .connect(self.tls.clone())
                .await
                .map_err(|source| Error::Connect {
                    server: server.clone(),
                    source,
                })?;
        info!(server, "connected");
        tokio::spawn(async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => wake(),
                    Some(Ok(_)) => {}
                    // Whoever uses the client is told as well.
                    Some(Err(error)) => {
                        debug!(%error, "the connection ended");
                        return;
                    }
                    None => return,
                }
            }
        });
        Ok(client)
    }

    /// For who keeps sessions himself.
    pub(crate) fn parts(&self) -> (Config, MakeRustlsConnect) {
        (self.config.clone(), self.tls.clone())
    }

    /// Ends the statement that a client is waiting for.
    pub(crate) async fn cancel(&self, token: &tokio_postgres::CancelToken) {
        if let Err(error) = token.cancel_query(self.tls.clone()).await {
            debug!(%error, "could not cancel the statement");
        }
    }

    /// What to call the servers: hosts and ports, nothing else of the URL.
    pub(crate) fn server(&self) -> String {
        let ports = self.config.get_ports();
        let port = |place: usize| ports.get(place).or(ports.first()).copied().unwrap_or(5432);
        let hosts = self.config.get_hosts().iter().enumerate();
        let mut names: Vec<String> = hosts
            .map(|(place, host)| match host {
                Host::Tcp(host) => format!("{host}:{}", port(place)),
                Host::Unix(directory) => {
                    format!("{} (port {})", directory.display(), port(place))
                }
            })
            .collect();
        if names.is_empty() {
            let addresses = self.config.get_hostaddrs().iter().enumerate();
            names.extend(addresses.map(|(place, address)| format!("{address}:{}", port(place))));
        }
        names.join(", ")
    }
}

/// What the driver says of a connection string it cannot read, but only where that quotes nothing of it: a password with a
/// blank in it would be taken for the name of an option.
fn safe_cause(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    cause
        .filter(|cause| cause.starts_with("invalid value for option"))
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Address;
    use secrecy::SecretString;

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

    #[test]
    fn server_is_named_without_user_and_password() -> Result<(), crate::error::Error> {
        let url = SecretString::from("postgres://dba:secret@db.example:5433/gitlab");
        assert_eq!(Address::new(Some(&url))?.server(), "db.example:5433");
        Ok(())
    }
}
