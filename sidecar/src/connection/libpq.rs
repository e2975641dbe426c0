//! Settings as in libpq: options of a connection string that the driver does not know, and environment variables. Each is either
//! supported or rejected: ignoring one could break what somebody relies on.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation, TargetSessionAttrs};

use crate::error::Error;
use crate::tls::{Check, Wanted};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The socket directory of Debian and Red Hat.
const SOCKETS: &str = "/var/run/postgresql";

/// The driver leaves certificates to the TLS library.
const OF_TLS: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// libpq variables that are not supported here and must not be ignored silently.
const REFUSED: [&str; 23] = [
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGPASSFILE",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLCERTMODE",
    "PGSSLMINPROTOCOLVERSION",
    "PGSSLMAXPROTOCOLVERSION",
    "PGKRBSRVNAME",
    "PGGSSLIB",
    "PGLOADBALANCEHOSTS",
    "PGGSSDELEGATION",
    "PGSSLSNI",
    "PGSSLCOMPRESSION",
    "PGMINPROTOCOLVERSION",
    "PGMAXPROTOCOLVERSION",
    "PGDATESTYLE",
    "PGTZ",
    "PGGEQO",
    "PGGSSENCMODE",
];

/// What is wanted without it, and is done.
const AS_IT_IS: [(&str, &str); 2] = [("PGGSSENCMODE", "disable"), ("PGGSSENCMODE", "prefer")];

/// A connection string completed from the environment, and what TLS must verify.
pub(super) fn read(
    url: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(Config, Wanted), Error> {
    let is_refused = |name: &&str| {
        variable(name).is_some_and(|value| !AS_IT_IS.contains(&(*name, value.as_str())))
    };
    if let Some(name) = REFUSED.into_iter().find(is_refused) {
        return Err(Error::Address(format!(": {name} is not supported")));
    }
    let (rest, own) = apart(url);
    let mut config: Config = rest
        .parse()
        .map_err(|error| Error::Address(safe_cause(&error)))?;
    let of_tls = |option: &str| {
        let given = own.iter().find(|(name, _)| name == option);
        let given = given.map(|(_, value)| value.clone());
        given.or_else(|| variable(&format!("PG{}", option.to_uppercase())))
    };
    fill(&mut config, variable)?;
    let (mode, wanted) = tls(
        of_tls("sslmode").as_deref(),
        of_tls("sslrootcert"),
        of_tls("sslcert").zip(of_tls("sslkey")),
    )?;
    if of_tls("sslcert").is_some() != of_tls("sslkey").is_some() {
        return Err(wrong("sslcert"));
    }
    config.ssl_mode(mode);
    Ok((config, wanted))
}

fn wrong(option: &str) -> Error {
    Error::Address(format!(": invalid value for option `{option}`"))
}

fn tls(
    mode: Option<&str>,
    root: Option<String>,
    identity: Option<(String, String)>,
) -> Result<(SslMode, Wanted), Error> {
    let is_system = root.as_deref() == Some("system");
    let root = root.filter(|_| !is_system).map(PathBuf::from);
    let (mode, check) = match mode {
        None if is_system => (SslMode::Require, Check::Name),
        Some("disable") => (SslMode::Disable, Check::Nothing),
        Some("verify-full") => (SslMode::Require, Check::Name),
        // The system's authorities issue certificates for any name.
        _ if is_system => return Err(wrong("sslrootcert")),
        Some("verify-ca") => (SslMode::Require, Check::Authority),
        // A configured authority should be used.
        Some("require") if root.is_some() => (SslMode::Require, Check::Authority),
        Some("require") => (SslMode::Require, Check::Nothing),
        None | Some("prefer") if root.is_some() => (SslMode::Prefer, Check::Authority),
        None | Some("prefer") => (SslMode::Prefer, Check::Nothing),
        Some(_) => return Err(wrong("sslmode")),
    };
    let identity = identity.map(|(cert, key)| (PathBuf::from(cert), PathBuf::from(key)));
    Ok((
        mode,
        Wanted {
            check,
            root,
            identity,
        },
    ))
}

/// Adds what a connection string leaves out.
fn fill(config: &mut Config, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        if let Some(addresses) = variable("PGHOSTADDR") {
            for address in addresses.split(',') {
                config.hostaddr(address.trim().parse().map_err(|_| wrong("hostaddr"))?);
            }
        }
        let hosts = variable("PGHOST");
        if hosts.is_some() || config.get_hostaddrs().is_empty() {
            let hosts = hosts.unwrap_or_else(|| SOCKETS.to_owned());
            for host in hosts.split(',') {
                config.host(host.trim());
            }
        }
    }
    if config.get_ports().is_empty()
        && let Some(ports) = variable("PGPORT")
    {
        for port in ports.split(',') {
            let port = port.trim().parse();
            config.port(port.map_err(|_| Error::Address(": PGPORT is not a port".to_owned()))?);
        }
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
    if config.get_options().is_none()
        && let Some(options) = variable("PGOPTIONS")
    {
        config.options(options);
    }
    if config.get_application_name().is_none() {
        let name = variable("PGAPPNAME");
        config.application_name(name.as_deref().unwrap_or("lockstep-sidecar"));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
        one_of(config, variable, "connect_timeout", |config, given| {
            given
                .get_connect_timeout()
                .map(|it| config.connect_timeout(*it));
        })?;
    }
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        one_of(config, variable, "target_session_attrs", |config, given| {
            config.target_session_attrs(given.get_target_session_attrs());
        })?;
    }
    if config.get_channel_binding() == ChannelBinding::Prefer {
        one_of(config, variable, "channel_binding", |config, given| {
            config.channel_binding(given.get_channel_binding());
        })?;
    }
    if config.get_ssl_negotiation() == SslNegotiation::Postgres {
        one_of(config, variable, "sslnegotiation", |config, given| {
            config.ssl_negotiation(given.get_ssl_negotiation());
        })?;
    }
    Ok(())
}

/// A driver option from its variable: libpq's is PG and the option's name without underscores.
fn one_of(
    config: &mut Config,
    variable: &dyn Fn(&str) -> Option<String>,
    option: &'static str,
    take: impl Fn(&mut Config, &Config),
) -> Result<(), Error> {
    let name = match option {
        "connect_timeout" => "PGCONNECT_TIMEOUT".to_owned(),
        option => format!("PG{}", option.replace('_', "").to_uppercase()),
    };
    let Some(value) = variable(&name) else {
        return Ok(());
    };
    let is_plain = value
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    let given = format!("{option}={value}").parse::<Config>().ok();
    let given = given.filter(|_| is_plain).ok_or_else(|| wrong(option))?;
    take(config, &given);
    Ok(())
}

/// The TLS options, and the connection string without them, in either of its forms.
fn apart(url: &str) -> (String, Vec<(String, String)>) {
    let mut own = Vec::new();
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if is_url {
        let Some((before, query)) = url.split_once('?') else {
            return (url.to_owned(), own);
        };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                let option = form_urlencoded::parse(pair.as_bytes()).next();
                let option = option.filter(|(name, _)| OF_TLS.contains(&&**name));
                own.extend(
                    option
                        .iter()
                        .map(|(name, value)| (name.to_string(), value.to_string())),
                );
                option.is_none()
            })
            .collect();
        let rest = match kept.is_empty() {
            true => before.to_owned(),
            false => format!("{before}?{}", kept.join("&")),
        };
        return (rest, own);
    }
    let (mut rest, mut left) = (String::new(), url);
    while let Some((pair, name, value, after)) = option(left) {
        match OF_TLS.contains(&name) {
            true => own.push((name.to_owned(), value)),
            false => rest.push_str(pair),
        }
        left = after;
    }
    rest.push_str(left);
    (rest, own)
}

/// The first option of a keyword connection string: as written, its name, its value, and the rest. None if there is none that can
/// be parsed.
fn option(text: &str) -> Option<(&str, &str, String, &str)> {
    let (name, value) = text.split_once('=')?;
    let trimmed = value.trim_start();
    let (mut quoted, mut escaped, mut end) = (trimmed.starts_with('\''), false, trimmed.len());
    let mut read = String::new();
    let begin = usize::from(quoted);
    for (at, letter) in trimmed.char_indices().skip(begin) {
        match letter {
            _ if escaped => {
                escaped = false;
                read.push(letter);
            }
            '\\' => escaped = true,
            '\'' if quoted => {
                quoted = false;
                end = at + 1;
                break;
            }
            letter if begin == 0 && letter.is_whitespace() => {
                end = at;
                break;
            }
            letter => read.push(letter),
        }
    }
    let length = text.len() - trimmed.len() + end;
    let (pair, after) = text.split_at_checked(length)?;
    (!quoted && !escaped).then_some((pair, name.trim(), read, after))
}

/// The driver's error about an invalid connection string, but only if it quotes nothing of it: part of a password with a space
/// would be reported as an option name.
fn safe_cause(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    cause
        .filter(|cause| cause.starts_with("invalid value for option"))
        .map(|cause| format!(": {cause}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::{Check, apart, read};

    /// How a connection string is used in an environment: whether TLS is on, and what it verifies.
    fn tls(url: &str, variables: &[(&str, &str)]) -> Option<(SslMode, Check)> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let (config, wanted) = read(url, &variable).ok()?;
        Some((config.get_ssl_mode(), wanted.check))
    }

    #[test]
    fn tls_is_as_libpq_has_it() {
        let full = Some((SslMode::Require, Check::Name));
        let authority = Some((SslMode::Require, Check::Authority));
        let any = Some((SslMode::Require, Check::Nothing));
        for (url, variables, expected) in [
            ("host=a", &[][..], Some((SslMode::Prefer, Check::Nothing))),
            ("host=a", &[("PGSSLMODE", "verify-full")], full),
            (
                "host=a sslmode=require",
                &[("PGSSLMODE", "verify-full")],
                any,
            ),
            ("postgres://u@a/b?sslmode=verify-ca", &[], authority),
            (
                "postgres://u@a,b:1/c?sslmode=verify%2Dfull&application_name=x",
                &[],
                full,
            ),
            ("host=a sslmode = 'verify-full' user=b", &[], full),
            (
                "host=a sslmode=require sslrootcert='/a b/c'",
                &[],
                authority,
            ),
            (
                "host=a sslmode=require",
                &[("PGSSLROOTCERT", "/a")],
                authority,
            ),
            ("host=a", &[("PGSSLROOTCERT", "system")], full),
            ("host=a sslmode=require sslrootcert=system", &[], None),
            ("host=a sslmode=allow", &[], None),
            ("host=a", &[("PGSSLMODE", "maybe")], None),
            ("host=a", &[("PGSSLCERT", "/a")], None),
            ("host=a", &[("PGREQUIREPEER", "postgres")], None),
            ("host=a", &[("PGGSSENCMODE", "require")], None),
            (
                "host=a",
                &[("PGGSSENCMODE", "prefer")],
                Some((SslMode::Prefer, Check::Nothing)),
            ),
            ("host=a", &[("PGTZ", "UTC")], None),
            ("host=a", &[("PGTARGETSESSIONATTRS", "maybe")], None),
            ("host=a", &[("PGCONNECT_TIMEOUT", "soon")], None),
        ] {
            assert_eq!(tls(url, variables), expected, "{url} {variables:?}");
        }
    }

    #[test]
    fn other_options_stay_as_they_are() {
        for (url, rest) in [
            (
                "host=/tmp password='a sslmode=x' sslmode=require user=u",
                "host=/tmp password='a sslmode=x' user=u",
            ),
            ("postgres://u:p?w@h/d", "postgres://u:p?w@h/d"),
            (
                "postgres://h/d?sslcert=a&user=b&sslkey=c",
                "postgres://h/d?user=b",
            ),
            (
                "password='open sslmode=require",
                "password='open sslmode=require",
            ),
            ("secret", "secret"),
        ] {
            assert_eq!(apart(url).0, rest);
        }
    }
}
