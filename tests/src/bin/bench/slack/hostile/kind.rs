//! What hostile clients send.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_tests::http::FORM;

use crate::slack::contender::PATH;

/// Those of GitLab's webhooks. Some hostile clients know the former: whoever may set up a webhook in GitLab chooses what it sends.
pub(super) const TOKEN: &str = "secret-token-of-the-webhook";
pub(super) const SIGNING_TOKEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const HOOKS: &str = "/gitlab/hooks";
const MEGABYTE: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Small requests without a signature, as many as possible.
    Flood,
    /// Commands whose signature is made up: only their whole body shows it.
    Forged,
    /// The same for webhooks, which may be larger.
    Large,
    Wide,
    Deep,
    /// A head, and then a byte now and then.
    Slow,
    /// Requests whose answers are never read.
    Unread,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Flood,
        Self::Forged,
        Self::Large,
        Self::Wide,
        Self::Deep,
        Self::Slow,
        Self::Unread,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Forged => "forged",
            Self::Large => "large",
            Self::Wide => "wide",
            Self::Deep => "deep",
            Self::Slow => "slow",
            Self::Unread => "unread",
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Flood => "unsigned commands, 50 a second",
            Self::Forged => "forged commands of 1 MiB",
            Self::Large => "forged webhooks of 24 MiB",
            Self::Wide => "webhooks of 8 MiB, a million fields",
            Self::Deep => "webhooks of 8 MiB, nested",
            Self::Slow => "forged webhooks, a byte at a time",
            Self::Unread => "and read no answer",
        }
    }

    /// Between two requests of one client. What takes long to read is sent less often: this measures the server, not the network of
    /// this machine.
    pub(super) fn pause(self) -> Duration {
        match self {
            Self::Flood => Duration::from_millis(20),
            _ => Duration::from_secs(1),
        }
    }

    /// A request, after which the server closes the connection.
    pub(super) fn request(self, address: SocketAddr) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let command = format!(
            "x-slack-request-timestamp: {now}\r\nx-slack-signature: v0={}\r\n",
            "0".repeat(64)
        );
        let webhook = format!(
            "webhook-id: 1\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{}=\r\n",
            "A".repeat(43)
        );
        let token = format!("x-gitlab-token: {TOKEN}\r\n");
        let (path, headers, body) = match self {
            Self::Flood => (PATH, String::new(), b"team_id=T1".repeat(20)),
            Self::Forged => (PATH, command, vec![b'a'; MEGABYTE]),
            Self::Large | Self::Slow => (HOOKS, webhook, vec![b' '; 24 * MEGABYTE]),
            Self::Wide => (HOOKS, token, wide()),
            Self::Deep => (HOOKS, token, b"[".repeat(8 * MEGABYTE)),
            Self::Unread => {
                let one = format!("GET /style.css HTTP/1.1\r\nhost: {address}\r\n\r\n");
                return one.repeat(1_000).into_bytes();
            }
        };
        let kind = match path {
            PATH => FORM,
            _ => "application/json",
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

fn wide() -> Vec<u8> {
    let field = b"{\"\":0},";
    let fields = field.repeat(8 * MEGABYTE / field.len());
    [
        &b"{\"object_kind\":\"push\",\"commits\":["[..],
        &fields,
        b"0]}",
    ]
    .concat()
}
