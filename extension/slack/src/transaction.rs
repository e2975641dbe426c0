//! What has to be done as a transaction or a savepoint ends.

use crate::error::{Result, SlackError};
use crate::slack_workspace;
use lockstep_server::AtEnd;

pub(crate) const AT_END: AtEnd = AtEnd {
    settle,
    roll_back: slack_workspace::roll_back_notes,
    release: slack_workspace::release_notes,
};

fn settle() -> Result<()> {
    // What it writes may be noted, and may wake somebody.
    slack_workspace::settle()?;
    match slack_workspace::notes_left() {
        0 => Ok(()),
        rows => Err(SlackError::NotFlushed { rows }.into()),
    }
}
