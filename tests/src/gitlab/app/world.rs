//! The stand-in's state, and its faults.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::slack::App;

/// A fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Processed and answered as usual, but only after this time.
    Slow(Duration),
    /// Not processed; answered with this status and an HTML page.
    Status(u16),
    /// Not processed; the connection is closed without a response.
    Reset,
    /// 200 with an HTML page instead of JSON, as a proxy in front of GitLab may send.
    Garbage,
    /// 200 with this many bytes of JSON.
    Large(usize),
    /// 302 to another address.
    Redirect(String),
}

/// A request as received.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    /// The headers of that name.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).collect()
    }

    /// A form field.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut fields = form_urlencoded::parse(&self.body);
        let (_, value) = fields.find(|(known, _)| known == name)?;
        Some(value.into_owned())
    }
}

#[derive(Debug, Default)]
pub(super) struct World {
    /// The secrets in its settings.
    pub(super) app: App,
    pub(super) base_url: String,
    /// Slack's address and the app's token there.
    pub(super) slack: Option<(String, String)>,
    /// Full paths by workspace and alias.
    pub(super) projects: BTreeMap<(String, String), String>,
    /// Names by workspace and Slack's id.
    pub(super) users: BTreeMap<(String, String), String>,
    /// Ids of events that were queued.
    pub(super) events: BTreeSet<String>,
    pub(super) received: Vec<Received>,
    pub(super) keeps_nothing: bool,
    pub(super) faults: VecDeque<Fault>,
    pub(super) fails_for_good: bool,
}

impl World {
    pub(super) fn next_fault(&mut self) -> Option<Fault> {
        match self.fails_for_good {
            true => self.faults.front().cloned(),
            false => self.faults.pop_front(),
        }
    }
}
