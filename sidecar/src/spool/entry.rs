//! An entry of the spool.

use serde::{Deserialize, Serialize};

/// A webhook, verified and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Where it happened.
    pub(crate) place: u64,
    pub(crate) project: Option<i64>,
    /// The groups and projects that its secret may report; none if it is every project.
    pub(crate) paths: Option<Vec<String>>,
    /// What the event says, shortened: it counts once.
    pub(crate) key: String,
    /// The webhook and the id of its request, which tell a repetition from another event that says the same.
    #[serde(default)]
    pub(crate) request: Option<String>,
    pub(crate) event: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    /// There is no room for it.
    Full,
    /// The disk failed, or the writer is gone.
    Failed,
}
