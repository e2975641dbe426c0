//! How Slack users want to be notified of what is for them: what they have chosen ([`choice`]), when they are not to be disturbed
//! ([`quiet`]), and how they choose ([`set`]), which
//! may end what waits for them ([`waiting`]).

mod choice;
mod quiet;
pub(crate) mod set;
mod waiting;

pub(crate) use choice::{Choices, Chosen};
