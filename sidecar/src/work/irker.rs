//! Notifies IRC channels of a push, through irkerd: one line of JSON per message, over TCP.

use std::fmt::Write;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::database::Job;
use crate::job::Failure;

/// For each step: irkerd is in the same network.
const TIMEOUT: Duration = Duration::from_secs(10);

/// irkerd's default.
const DEFAULT_PORT: u16 = 6659;

/// More commits of one push are unreadable in a channel.
const MOST_COMMITS: usize = 20;

/// IRC cuts a line after 510 bytes, some of which are not ours.
const MOST_BYTES: usize = 400;

/// The project, its channels, whether to use colors, what was pushed, and irkerd's address.
type Arguments = (i64, Channels, Option<Flag>, Push, Option<Settings>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Channels {
    One(String),
    Several(Vec<String>),
}

/// GitLab's forms pass on what the browser sent.
#[derive(Deserialize)]
#[serde(untagged)]
enum Flag {
    Boolean(bool),
    Text(String),
}

#[derive(Default, Deserialize)]
struct Settings {
    server_host: Option<String>,
    server_port: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    user_name: String,
    project: Repository,
    repository: Repository,
    commits: Vec<Commit>,
    total_commits_count: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Repository {
    name: String,
    web_url: Option<String>,
    homepage: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Commit {
    id: String,
    message: String,
    author: Author,
    url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Author {
    name: String,
}

pub(super) async fn perform(job: &Job) -> Result<(), Failure> {
    let Ok((_, channels, colors, push, settings)) = Arguments::deserialize(&job.args) else {
        return Err(Failure::Arguments(
            "[project id, channels, colors, push, settings]",
        ));
    };
    let channels = match channels {
        Channels::One(channels) => channels.split_whitespace().map(str::to_owned).collect(),
        Channels::Several(channels) => channels,
    };
    let in_colors = match colors {
        Some(Flag::Boolean(flag)) => flag,
        Some(Flag::Text(text)) => matches!(text.as_str(), "1" | "true"),
        None => false,
    };
    let (host, port) = settings.unwrap_or_default().address()?;
    let mut lines = String::new();
    for message in push.messages(in_colors) {
        let line = json!({"to": channels, "privmsg": message});
        // Writing to a String never fails.
        let _ = writeln!(lines, "{line}");
    }
    if lines.is_empty() || channels.is_empty() {
        return Ok(());
    }
    send(&host, port, lines.as_bytes())
        .await
        .map_err(|source| Failure::Irkerd {
            address: format!("{host}:{port}"),
            source,
        })
}

impl Settings {
    fn address(self) -> Result<(String, u16), Failure> {
        let port = match self.server_port {
            None | Some(Value::Null) => Some(DEFAULT_PORT),
            Some(Value::String(port)) => port.parse().ok(),
            Some(port) => port.as_u64().and_then(|port| port.try_into().ok()),
        };
        let host = self.server_host.filter(|host| !host.is_empty());
        Ok((
            host.unwrap_or_else(|| "localhost".to_owned()),
            port.ok_or(Failure::Arguments("with a server_port from 0 to 65535"))?,
        ))
    }
}

async fn send(host: &str, port: u16, lines: &[u8]) -> io::Result<()> {
    let mut stream = in_time(TcpStream::connect((host, port))).await?;
    in_time(async {
        stream.write_all(lines).await?;
        stream.shutdown().await
    })
    .await
}

async fn in_time<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(TIMEOUT, step)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Push {
    fn messages(&self, in_colors: bool) -> Vec<String> {
        let paint = |color: u8, text: &str| match in_colors {
            true => format!("\u{3}{color:02}{}\u{f}", clean(text)),
            false => clean(text),
        };
        let repository = &self.repository;
        let name = match repository.name.is_empty() {
            true => &self.project.name,
            false => &repository.name,
        };
        let place = format!("[{}]", paint(5, name));
        let branch = self
            .reference
            .strip_prefix("refs/heads/")
            .unwrap_or(&self.reference);
        let branch = paint(7, branch);
        let user = paint(3, &self.user_name);
        let url = [
            &self.project.web_url,
            &repository.homepage,
            &repository.web_url,
        ];
        let url = url.into_iter().flatten().next().map_or("", String::as_str);
        let is_none = |commit: &str| commit.is_empty() || commit.bytes().all(|byte| byte == b'0');
        let mut messages = Vec::new();
        if is_none(&self.after) {
            messages.push(format!("{place} {user} has deleted the branch {branch}"));
            return messages;
        }
        if is_none(&self.before) {
            messages.push(format!(
                "{place} {user} has created a new branch {branch}: {}",
                clean(&format!("{url}/-/tree/{}", self.after))
            ));
        }
        let count = self
            .total_commits_count
            .unwrap_or(self.commits.len() as u64);
        if count > 0 {
            let compare = match is_none(&self.before) {
                true => format!("{url}/-/commits/{}", self.after),
                false => format!("{url}/-/compare/{}...{}", self.before, self.after),
            };
            let commits = if count == 1 { "commit" } else { "commits" };
            messages.push(format!(
                "{place} {user} pushed {count} {commits} to {branch}: {}",
                clean(&compare)
            ));
        }
        let shown = self.commits.iter().take(MOST_COMMITS);
        messages.extend(shown.map(|commit| {
            let id: String = commit.id.chars().take(8).collect();
            let title = commit.message.lines().next().unwrap_or_default();
            format!(
                "{place} {branch} {} {}: {} {}",
                paint(14, &id),
                paint(3, &commit.author.name),
                clean(title),
                clean(&commit.url)
            )
        }));
        messages.into_iter().map(cut).collect()
    }
}

/// Without characters that could end the line, or start a command.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .collect::<String>()
        .trim()
        .to_owned()
}

fn cut(mut message: String) -> String {
    if message.len() > MOST_BYTES {
        let mut end = MOST_BYTES;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{Arguments, MOST_BYTES, MOST_COMMITS, Push, Settings, TIMEOUT, in_time, io};
    use serde::Deserialize;
    use serde_json::{Value, json};
    use std::future::pending;
    use tokio::time::Instant;

    fn push(data: Value) -> Push {
        Push::deserialize(&data).unwrap_or_default()
    }

    /// The test's clock advances when nothing else can run.
    #[tokio::test(start_paused = true)]
    async fn silence_is_an_error_after_a_while() {
        let begun = Instant::now();
        let outcome: io::Result<()> = in_time(pending()).await;
        let kind = outcome.err().map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::TimedOut));
        assert!(begun.elapsed() >= TIMEOUT && begun.elapsed() < TIMEOUT * 2);
    }

    #[test]
    fn a_push_is_told_in_lines_that_cannot_be_broken() {
        let data = json!({
            "ref": "refs/heads/main", "before": "a".repeat(40), "after": "b".repeat(40), "user_name": "Eve\r\nQUIT",
            "project": {"web_url": "https://gitlab.example/g/p"}, "repository": {"name": "p"},
            "commits": [{"id": "b".repeat(40), "message": "Title\nText", "author": {"name": "Eve"}, "url": "https://x/c"}],
            "total_commits_count": 1
        });
        let messages = push(data.clone()).messages(false);
        assert_eq!(
            messages,
            [
                format!(
                    "[p] EveQUIT pushed 1 commit to main: https://gitlab.example/g/p/-/compare/{}...{}",
                    "a".repeat(40),
                    "b".repeat(40)
                ),
                "[p] main bbbbbbbb Eve: Title https://x/c".to_owned(),
            ]
        );
        let colored = push(data).messages(true);
        assert!(colored[1].starts_with("[\u{3}05p\u{f}] \u{3}07main\u{f}"));
    }

    #[test]
    fn branches_come_and_go() {
        let made = json!({"ref": "refs/heads/new", "before": "0".repeat(40), "after": "c", "user_name": "Eve", "repository": {"name": "p", "homepage": "h"}});
        assert_eq!(
            push(made).messages(false),
            ["[p] Eve has created a new branch new: h/-/tree/c"]
        );
        let gone = json!({"ref": "refs/heads/new", "before": "c", "after": "0".repeat(40), "user_name": "Eve", "repository": {"name": "p"}});
        assert_eq!(
            push(gone).messages(false),
            ["[p] Eve has deleted the branch new"]
        );
    }

    #[test]
    fn long_pushes_and_lines_are_cut() {
        let commit = json!({"id": "d", "message": "ü".repeat(1_000)});
        let data = json!({"ref": "refs/heads/b", "before": "a", "after": "b", "commits": vec![commit; 50]});
        let messages = push(data).messages(false);
        assert_eq!(messages.len(), 1 + MOST_COMMITS);
        assert!(messages.iter().all(|message| message.len() <= MOST_BYTES));
    }

    #[test]
    fn arguments_come_in_the_hosts_forms() {
        for channels in [json!("irc://a/#b irc://a/#c"), json!(["irc://a/#b"])] {
            let args =
                json!([1, channels, "1", {"ref": "r"}, {"server_host": "", "server_port": "7000"}]);
            let Ok((.., settings)) = Arguments::deserialize(&args) else {
                unreachable!("{args}");
            };
            let address = settings.unwrap_or_default().address().ok();
            assert_eq!(address, Some(("localhost".to_owned(), 7_000)));
        }
        let settings = Settings {
            server_port: Some(json!(70_000)),
            ..Settings::default()
        };
        assert!(settings.address().is_err());
        assert!(Arguments::deserialize(&json!([1, 2])).is_err());
    }
}
