//! What happens at the end of a transaction or savepoint.

use crate::error::{CacheColumnError, Result};
use crate::{backfill, cache_column, feature, job};
use lockstep_server::AtEnd;

pub(crate) const AT_END: AtEnd = AtEnd {
    settle: refuse_unflushed,
    roll_back,
    release: cache_column::release_notes,
};

fn roll_back(nesting: i32) {
    cache_column::roll_back_notes(nesting);
    feature::forget();
    job::forget_places();
    if nesting == 0 {
        backfill::end_of_transaction();
    }
}

/// The last line of defense: a transaction with unflushed notes must not commit a wrong value.
fn refuse_unflushed() -> Result<()> {
    match cache_column::notes_left() {
        0 => Ok(()),
        keys => Err(CacheColumnError::NotFlushed { keys }.into()),
    }
}
