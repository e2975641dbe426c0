//! Slack requests that are not ours are passed on to GitLab, which has the same endpoints, and its response goes to Slack. Slack
//! sends all of an app's requests to one address, so without this, pointing it here would disable GitLab's own part of the app.
//!
//! - [`address`]: GitLab's addresses, and requests to them
//! - [`command`], [`request`]: slash commands, and everything else
//! - [`trouble`]: errors, and what users are told about them
//! - [`observed`]: what was observed of GitLab, for the status page
//! - [`loop_guard`]: GitLab's address may be our own

mod address;
mod command;
mod loop_guard;
mod observed;
mod probe;
mod request;
mod settings;
mod state;
mod trouble;

pub(crate) use loop_guard::refuse_own;
pub(crate) use probe::announce;
pub(crate) use settings::{GitLab, Settings, gitlab_addresses};
pub(crate) use state::PassThrough;
