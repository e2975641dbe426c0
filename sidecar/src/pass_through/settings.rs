//! The configured addresses of GitLab.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use url::{Host, Url};

use crate::settings::{Problem, PublicUrl, web_address};

/// GitLab's own part of the Slack app
#[derive(Args, Debug)]
#[command(next_help_heading = "GitLab's own commands")]
pub(crate) struct GitLab {
    /// GitLab's address: requests from Slack that this program does not answer itself are passed on to it; of several addresses,
    /// the next one is tried if one cannot be reached
    #[arg(
        long = "gitlab-url",
        value_name = "URL",
        env = "LOCKSTEP_GITLAB_URL",
        value_delimiter = ','
    )]
    pub(crate) gitlab_urls: Vec<String>,

    /// GitLab's address as people open it, for links in messages; otherwise the first of its addresses, which may be one that only
    /// this program reaches
    #[arg(
        long = "gitlab-external-url",
        value_name = "URL",
        env = "LOCKSTEP_GITLAB_EXTERNAL_URL"
    )]
    pub(crate) gitlab_external_url: Option<String>,

    /// GitLab's agent answers mentions and messages: installations request the scopes that it needs
    #[arg(long, env = "LOCKSTEP_GITLAB_AGENT", value_parser = BoolishValueParser::new())]
    pub(crate) gitlab_agent: bool,

    /// Seconds that GitLab may take to answer a request that was passed on
    #[arg(long, value_name = "SECONDS", env = "LOCKSTEP_GITLAB_TIMEOUT", default_value_t = 30, value_parser = clap::value_parser!(u64).range(3..=600))]
    pub(crate) gitlab_timeout: u64,
}

pub(crate) struct Settings {
    /// In the order in which they are tried; empty if nothing is passed on.
    pub(crate) addresses: Vec<Url>,
    /// For links, if it is known. It may have a path.
    pub(crate) external: Option<Url>,
    pub(crate) patience: Duration,
}

const SETTING: &str = "--gitlab-url (LOCKSTEP_GITLAB_URL)";

impl Settings {
    /// GitLab's address must be neither our public address nor one that we listen on.
    pub(crate) fn new(
        arguments: &GitLab,
        public_url: Option<&PublicUrl>,
        listen: SocketAddr,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let addresses = gitlab_addresses(&arguments.gitlab_urls, problems);
        for url in &addresses {
            let is_public = public_url.is_some_and(|public| public.has_origin_of(url));
            if is_public || is_at(url, listen) {
                problems.push(Problem {
                    setting: SETTING,
                    wrong: format!("leads back to this program: {url}"),
                    hint: "it is the address of GitLab itself, not the one that Slack sends to",
                });
            }
        }
        let given = arguments.gitlab_external_url.as_deref().map(str::trim);
        let external = match given.filter(|url| !url.is_empty()) {
            Some(given) => external(given, problems),
            None => addresses.first().cloned(),
        };
        Self {
            addresses,
            external,
            patience: Duration::from_secs(arguments.gitlab_timeout),
        }
    }
}

fn external(given: &str, problems: &mut Vec<Problem>) -> Option<Url> {
    let is_page = |url: &Url| {
        let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
        let has_more = url.query().is_some() || url.fragment().is_some();
        is_web && !has_more && url.username().is_empty() && url.password().is_none()
    };
    let url = Url::parse(given).ok().filter(is_page);
    if url.is_none() {
        problems.push(Problem {
            setting: "--gitlab-external-url (LOCKSTEP_GITLAB_EXTERNAL_URL)",
            wrong: "is not the address of a page".to_owned(),
            hint: "use the address that people open, for example https://gitlab.example or https://example.com/gitlab",
        });
    }
    url
}

/// Those that are valid addresses; an empty variable has none.
pub(crate) fn gitlab_addresses(given: &[String], problems: &mut Vec<Problem>) -> Vec<Url> {
    let hint = "use https:// and GitLab's host; http:// is only allowed on this machine";
    let given = given.iter().map(|url| url.trim());
    given
        .filter(|url| !url.is_empty())
        .filter_map(|url| web_address(SETTING, url, hint, problems))
        .collect()
}

fn is_at(url: &Url, listen: SocketAddr) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback() || listen.ip() == address,
        Some(Host::Ipv6(address)) => address.is_loopback() || listen.ip() == address,
        None => false,
    };
    is_here && url.port_or_known_default() == Some(listen.port())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use url::Url;

    use super::{GitLab, Settings};
    use crate::settings::{Problem, PublicUrl};

    fn wrong(urls: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        let public = PublicUrl::new(Some("https://slack.example"), &mut problems);
        let arguments = GitLab {
            gitlab_urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            gitlab_external_url: None,
            gitlab_agent: false,
            gitlab_timeout: 30,
        };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        Settings::new(&arguments, public.as_ref(), listen, &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn links_lead_where_people_open_gitlab() {
        for (given, urls, expected) in [
            (None, &[][..], Ok(None)),
            (
                Some(" "),
                &["https://inside.example"],
                Ok(Some("https://inside.example/")),
            ),
            (
                None,
                &["https://inside.example", "https://other.example"],
                Ok(Some("https://inside.example/")),
            ),
            (
                Some("https://gitlab.example"),
                &["https://inside.example"],
                Ok(Some("https://gitlab.example/")),
            ),
            (
                Some("http://example.com/gitlab"),
                &[],
                Ok(Some("http://example.com/gitlab")),
            ),
            (Some("gitlab.example"), &[], Err(())),
            (Some("ftp://gitlab.example"), &[], Err(())),
            (Some("https://user@gitlab.example"), &[], Err(())),
            (Some("https://gitlab.example/?a=1"), &[], Err(())),
        ] {
            let mut problems = Vec::new();
            let arguments = GitLab {
                gitlab_urls: urls.iter().map(|url| (*url).to_owned()).collect(),
                gitlab_external_url: given.map(str::to_owned),
                gitlab_agent: false,
                gitlab_timeout: 30,
            };
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
            let settings = Settings::new(&arguments, None, listen, &mut problems);
            let found = match problems.is_empty() {
                true => Ok(settings.external.as_ref().map(Url::as_str)),
                false => Err(()),
            };
            assert_eq!(found, expected, "{given:?} {urls:?}");
        }
    }

    #[test]
    fn own_address_is_not_gitlabs() {
        for url in [
            "https://slack.example",
            "https://slack.example:443/",
            "http://127.0.0.1:8080",
            "http://localhost:8080",
        ] {
            let wrong = wrong(&["https://gitlab.example", url]);
            assert!(
                wrong.len() == 1 && wrong[0].contains("leads back to this program"),
                "{url}: {wrong:?}"
            );
        }
    }

    #[test]
    fn addresses_are_of_a_host_and_nothing_more() {
        assert!(wrong(&[]).is_empty());
        assert!(wrong(&["", " https://gitlab.example ", "http://127.0.0.1:8081"]).is_empty());
        for url in [
            "gitlab.example",
            "http://gitlab.example",
            "https://gitlab.example/gitlab",
            "https://user:password@gitlab.example",
        ] {
            assert_eq!(wrong(&[url]).len(), 1, "{url}");
        }
    }
}
