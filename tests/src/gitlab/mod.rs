//! GitLab as an app sees it: the webhooks that it sends, and what is in them.

mod sample;
mod webhook;

pub use sample::{Sample, merge_request, pipeline, push, samples};
pub use webhook::{Webhook, sign};
