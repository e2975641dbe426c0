//! The definition of a command, and a command that was given.

use std::pin::Pin;

use super::state::App;
use crate::error::Error;
use crate::slack::{Reply, SlashCommand};

pub(super) type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send + 'a>>;

pub(super) struct Command {
    pub(super) name: &'static str,
    /// Its line in the help.
    pub(super) usage: &'static str,
    /// It may ask another system, which may take longer than Slack waits.
    pub(super) run: for<'a> fn(&'a App, &'a Given) -> Answering<'a>,
}

pub(super) struct Given {
    pub(super) slash: SlashCommand,
    pub(super) alias: Option<String>,
    /// The text after the command.
    pub(super) rest: String,
}
