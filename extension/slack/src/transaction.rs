//! What happens at the end of a transaction or savepoint.

use crate::error::{Result, SlackError};
use crate::slack_workspace;
use lockstep_server::AtEnd;

pub(crate) const AT_END: AtEnd = AtEnd {
    settle,
    roll_back: slack_workspace::roll_back_notes,
    release: slack_workspace::release_notes,
};

fn settle() -> Result<()> {
    // Its writes may be noted, and may wake others.
    slack_workspace::settle()?;
    match slack_workspace::notes_left() {
        0 => Ok(()),
        rows => Err(SlackError::NotFlushed { rows }.into()),
    }
}
