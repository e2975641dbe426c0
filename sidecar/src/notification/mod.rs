//! Notifications: events in GitLab's projects reach Slack channels. GitLab reports them ([`hook`]), the database decides who is
//! notified, and stores a delivery for each channel. Deliveries are sent one by one in each channel ([`delivery`]), as messages
//! that [`message`] writes. Recurring jobs remind of what waits ([`reminder`]).

mod delivery;
mod hook;
mod message;
mod reminder;

pub(crate) use delivery::Delivering;
pub(crate) use hook::{App, HookSecrets, Hooks, Publisher, replay, router};
pub(crate) use reminder::ReminderWorkers;
