//! Events of projects and groups, and which Slack channels are notified.
//!
//! The data flow: an event is parsed ([`mod@read`]); its project and the groups above are looked up in the application's tables
//! ([`tables`]); the recipients are determined ([`mod@recipients`]) from the settings ([`settings`]) and from what people have chosen
//! ([`person`]), and from the channels that follow the project ([`subscription`]); then event and deliveries are written ([`mod@written`]). Everything is set-based over a batch ([`publish`], [`batch`]). [`mod@explain`] does all but
//! writing; [`trial`] sends a test message, [`reminder`] a list of what waits. [`mod@quiet`] says where nobody is notified by the time that a delivery has its turn.

mod batch;
mod explain;
pub(crate) mod person;
pub(crate) mod publish;
mod quiet;
mod read;
mod recipients;
pub(crate) mod reminder;
mod settings;
pub(crate) mod subscription;
mod tables;
pub(crate) mod trial;
mod written;

pub(crate) use quiet::quiet;
pub(crate) use recipients::{DirectMessage, Reason, may_be_sent};
pub(crate) use settings::{Trouble, channels_now, sweep_gone, troubles};
pub(crate) use subscription::sweep_subscriptions;
