//! What happens in GitLab's projects reaches Slack's channels. GitLab tells of it ([`hook`]), the database says who is to know, and
//! keeps a delivery for each channel. Deliveries are sent one by one in each channel ([`delivery`]), as messages that
//! [`message`] writes.

mod delivery;
mod hook;
mod message;

pub(crate) use delivery::Delivering;
pub(crate) use hook::{App, HookSecrets, Hooks, Publisher, router};
