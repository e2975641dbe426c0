//! GitLab as an app sees it: its webhooks and their contents; and GitLab's own part of the Slack app ([`GitLab`]).

mod app;
mod sample;
mod webhook;

pub use app::{Fault, GitLab, Received};
pub use sample::{Sample, merge_request, pipeline, push, samples};
pub use webhook::{Webhook, sign};
