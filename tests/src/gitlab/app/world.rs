//! What the stand-in knows, and what goes wrong with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::slack::App;

/// One way in which a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Takes effect and is answered as usual, but only after this time.
    Slow(Duration),
    /// No effect; answered with this status and a page.
    Status(u16),
    /// No effect; the connection is closed without an answer.
    Reset,
    /// 200 with a page in place of JSON, as something in front of GitLab may.
    Garbage,
    /// 200 with so many bytes of JSON.
    Large(usize),
    /// 302 to another address.
    Redirect(String),
}

/// A request as it came.
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

    /// A field of the form.
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
    /// Where Slack is, and the token of the app there.
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
