//! Events of projects and groups, and who is told of them in Slack.
//!
//! The way of the data: an event is read ([`mod@read`]); its project with the groups around it is looked up at the host ([`tables`]), and who of them is
//! told ([`mod@told`]), as their settings say ([`settings`]); then event and deliveries are written ([`mod@written`]). All of it goes set-wise over a
//! batch ([`publish`], [`batch`]). A message to see whether messages arrive is sent by [`trial`].

mod batch;
pub(crate) mod publish;
mod read;
mod settings;
mod tables;
mod told;
pub(crate) mod trial;
mod written;

pub(crate) use settings::{channels_now, sweep_gone};
