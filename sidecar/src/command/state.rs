//! The state of slash commands.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::FromRef;

use super::alias::Aliases;
use crate::database::SlackDatabase;
use crate::late::Late;
use crate::pass_through::PassThrough;
use crate::settings::PublicUrl;
use crate::slack::{Reply, SigningSecret, SlashCommand};

pub(crate) struct App {
    pub(crate) database: SlackDatabase,
    pub(crate) signing_secret: SigningSecret,
    pub(crate) public_url: PublicUrl,
    pub(crate) managers: Arc<HashSet<String>>,
    pub(crate) others: Vec<Other>,
    pub(crate) pass_through: Option<Arc<PassThrough>>,
    pub(crate) aliases: Aliases,
    pub(crate) late: Arc<Late>,
}

impl FromRef<Arc<App>> for SigningSecret {
    fn from_ref(app: &Arc<App>) -> Self {
        app.signing_secret.clone()
    }
}

/// A slash command that another room answers, in any number of messages.
pub(crate) struct Other {
    pub(crate) name: &'static str,
    pub(crate) counted: &'static str,
    pub(crate) answer: Box<dyn Fn(SlashCommand) -> Replying + Send + Sync>,
}

pub(crate) type Replying = Pin<Box<dyn Future<Output = Vec<Reply>> + Send>>;
