//! What Slack sends that is none of ours goes to GitLab, which answers on the same paths, and GitLab's answer goes to Slack. Slack sends all of
//! an app's requests to one address, so without this whoever points it here would lose what GitLab does there by itself.
//!
//! - [`address`]: where GitLab is, and what is asked there
//! - [`command`], [`request`]: what becomes of slash commands, and of the rest
//! - [`trouble`]: what goes wrong, and what people are told of it
//! - [`standing`]: what was seen of GitLab, for the status page
//! - [`circle`]: GitLab's address may be our own

mod address;
mod circle;
mod command;
mod probe;
mod request;
mod settings;
mod standing;
mod state;
mod trouble;

pub(crate) use circle::refuse_own;
pub(crate) use probe::announce;
pub(crate) use settings::{GitLab, Settings, gitlab_addresses};
pub(crate) use state::PassThrough;
