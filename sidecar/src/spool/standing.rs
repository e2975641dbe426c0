//! The state of the spool, for monitoring.

use std::time::Duration;

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// The age of the oldest entry.
    pub(crate) oldest: Option<Duration>,
    pub(crate) set_aside: u64,
    /// Since the start of this process.
    pub(crate) replayed: u64,
    pub(crate) is_full: bool,
    pub(crate) is_away: bool,
    /// The last write failed, as on a disk without room.
    pub(crate) is_failing: bool,
}

impl Standing {
    /// Whether the next webhook can be kept, as far as is known.
    pub(crate) fn has_room(self) -> bool {
        !self.is_full && !self.is_failing
    }

    pub(crate) fn to_json(self) -> Value {
        json!({
            "entries": self.entries,
            "bytes": self.bytes,
            "oldest_seconds": self.oldest.map(|age| age.as_secs()),
            "set_aside": self.set_aside,
            "full": self.is_full,
            "failing": self.is_failing,
        })
    }
}
