//! A project's events, on their way to Slack channels.

pub(crate) mod app;
mod away;
mod batch;
mod branch;
mod chaos;
mod chaos_plan;
mod delivery;
mod dump;
mod filter;
mod form;
mod gone;
mod hook;
mod import;
mod level;
mod names;
mod payload;
mod pipeline;
pub(crate) mod publish;
mod publisher;
mod restart;
mod secret;
mod settings;
mod slack_user;
mod spool;
mod thread;
mod trial;
