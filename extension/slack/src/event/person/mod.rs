//! How Slack users want to be notified of what is for them: what they have chosen ([`choice`]), when they are not to be disturbed
//! ([`quiet`]), and how they choose ([`set`]).

mod choice;
mod quiet;
pub(crate) mod set;

pub(crate) use choice::{Choices, Chosen};
