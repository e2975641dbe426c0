//! Settings shared by several rooms, and messages about invalid ones.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
use secrecy::SecretString;
use url::{Host, Url};

use crate::text::tell;

/// Scopes that the app requests: for commands, and to post in channels with and without being a member.
pub(crate) const SCOPES: [&str; 3] = ["commands", "chat:write", "chat:write.public"];

/// Additional scopes for GitLab's agent, to be mentioned and messaged.
const SCOPES_OF_AGENT: [&str; 5] = [
    "app_mentions:read",
    "assistant:write",
    "im:history",
    "mpim:history",
    "reactions:write",
];

/// The scopes that installations request.
pub(crate) fn scopes(with_agent: bool) -> Vec<&'static str> {
    let more: &[&str] = match with_agent {
        true => &SCOPES_OF_AGENT,
        false => &[],
    };
    SCOPES.iter().chain(more).copied().collect()
}

/// A shorter password can be guessed.
pub(crate) const SHORTEST_PASSWORD: usize = 12;

/// An invalid setting, and what would be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Flag and variable.
    pub(crate) setting: &'static str,
    pub(crate) wrong: String,
    pub(crate) hint: &'static str,
}

impl Problem {
    pub(crate) fn missing(setting: &'static str, hint: &'static str) -> Self {
        Self {
            setting,
            wrong: "is not set, or blank".to_owned(),
            hint,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            wrong,
            hint,
        } = self;
        write!(formatter, "{setting} {wrong}: {hint}")
    }
}

/// For the command line: a parser of its own, whose errors do not quote the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretParser;

impl TypedValueParser for SecretParser {
    type Value = SecretString;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<SecretString, clap::Error> {
        let read = value.to_str().ok_or("it is no UTF-8").and_then(secret);
        read.map_err(|problem| {
            let name = argument.map(ToString::to_string).unwrap_or_default();
            let told = format!("the value of {name} is not valid: {problem}\n");
            clap::Error::raw(ErrorKind::ValueValidation, told).with_cmd(command)
        })
    }
}

/// Trailing newlines and surrounding spaces are removed, and the mark with which some editors begin a file.
fn secret(text: &str) -> Result<SecretString, &'static str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let trimmed = text.trim();
    if trimmed.contains(char::is_control) {
        return Err(
            "it has several lines, or other control characters: a secret is one line of text",
        );
    }
    if trimmed.len() < text.len() && !trimmed.is_empty() {
        tell("note: a secret has blanks or ends of lines around it, which do not count");
    }
    Ok(SecretString::from(trimmed))
}

/// The ids of a list, without blanks; what is no id of that kind is wrong.
pub(crate) fn slack_ids(
    list: &[String],
    first: [char; 2],
    wrong: &mut Vec<String>,
) -> HashSet<String> {
    let is_id = |id: &str| {
        id.starts_with(first)
            && id
                .chars()
                .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
    };
    let ids = list.iter().map(|id| id.trim());
    let ids: HashSet<String> = ids.filter(|id| !id.is_empty()).map(str::to_owned).collect();
    wrong.extend(ids.iter().filter(|id| !is_id(id)).cloned());
    wrong.sort();
    ids
}

/// The address at which Slack and browsers reach this program: Slack sends secrets there, and browsers keep an installation's
/// cookie for it.
#[derive(Clone, Debug)]
pub(crate) struct PublicUrl(Url);

impl PublicUrl {
    pub(crate) fn new(text: Option<&str>, problems: &mut Vec<Problem>) -> Option<Self> {
        const SETTING: &str = "--public-url (LOCKSTEP_PUBLIC_URL)";
        let hint = "the address under which Slack and browsers reach this program, such as https://slack.gitlab.example";
        match text.filter(|text| !text.trim().is_empty()) {
            Some(text) => web_address(SETTING, text, hint, problems).map(Self),
            None => {
                problems.push(Problem::missing(SETTING, hint));
                None
            }
        }
    }

    /// The address of one of our pages, as Slack and browsers reach it.
    pub(crate) fn page(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(crate) fn has_origin_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// An https address, or an http address on this machine, and nothing more.
pub(crate) fn web_address(
    setting: &'static str,
    text: &str,
    hint: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<Url> {
    let checked = checked_address(text);
    checked
        .map_err(|wrong| {
            problems.push(Problem {
                setting,
                wrong,
                hint,
            });
        })
        .ok()
}

fn checked_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("is no address: {error}"))?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
        return Err(
            "does not begin with https://, which is required except on this machine".to_owned(),
        );
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    let has_more = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    match has_user || has_more {
        true => Err("has more than a host and a port".to_owned()),
        false => Ok(url),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::secret;

    #[test]
    fn blanks_around_a_secret_do_not_count() {
        for (text, is) in [
            ("a b\n", "a b"),
            (" \ta", "a"),
            ("\n", ""),
            ("", ""),
            ("\u{feff}a\r\n", "a"),
            ("\u{feff}", ""),
        ] {
            let read = secret(text).map(|secret| secret.expose_secret().to_owned());
            assert_eq!(read.as_deref(), Ok(is), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_line_is_no_secret_and_is_not_quoted() {
        for text in ["a\nb", "a\r\nb\n", "a\0b", "\0", "a\tb", "a\u{85}b"] {
            let refused = secret(text).map(drop);
            let is_told = refused.is_err_and(|it| it.contains("one line") && !it.contains(text));
            assert!(is_told, "{text:?}");
        }
    }
}
