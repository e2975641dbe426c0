//! Events that arrive at the same time are published in one transaction: a commit takes as long for fifty as for one. The first
//! one is published at once, together with what has accumulated. Events that would wait for someone's open transaction are set
//! aside, each place separately, so that no other event waits with them; what the database cannot accept now is retried while
//! GitLab waits.

mod parts;
mod patience;
mod queue;
mod submit;
#[cfg(test)]
mod tests;
mod waiting;

pub(super) use queue::{PAUSE, may_pass};
pub(crate) use submit::Publisher;
pub(super) use waiting::Unpublished;
