//! What this process has observed of GitLab, for the status page.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::trouble::Trouble;

#[derive(Default)]
pub(super) struct Standing(Mutex<Seen>);

#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) answered: i64,
    pub(crate) failed: i64,
    /// The result of the last request, and since when it has been the same.
    pub(crate) trouble: Option<(Trouble, SystemTime)>,
}

impl Standing {
    /// Whether it differs from the previous one.
    pub(super) fn note(&self, trouble: Option<&Trouble>) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.trouble.as_ref().map(|(before, _)| before.label());
        let is_other = before != trouble.map(Trouble::label);
        match trouble {
            None => {
                seen.answered += 1;
                seen.trouble = None;
            }
            Some(trouble) => {
                seen.failed += 1;
                let since = seen.trouble.take().map(|(_, since)| since);
                seen.trouble = Some((trouble.clone(), since.unwrap_or_else(SystemTime::now)));
            }
        }
        is_other
    }

    pub(super) fn get(&self) -> Seen {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}
