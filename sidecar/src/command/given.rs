//! A command that people can give, and one that was given.

use std::pin::Pin;

use super::state::App;
use crate::error::Error;
use crate::slack::{Reply, SlashCommand};

pub(super) type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send + 'a>>;

pub(super) struct Command {
    pub(super) name: &'static str,
    /// What is said of it in the help.
    pub(super) usage: &'static str,
    /// It asks somebody, who may take longer than Slack waits.
    pub(super) run: for<'a> fn(&'a App, &'a Given) -> Answering<'a>,
}

pub(super) struct Given {
    pub(super) slash: SlashCommand,
    pub(super) alias: Option<String>,
}
