//! The state of the App Home.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::FromRef;

use crate::database::SlackDatabase;
use crate::late::Late;
use crate::pass_through::PassThrough;
use crate::settings::PublicUrl;
use crate::slack::{Reply, SigningSecret, SlackClient, SlashCommand};
use crate::token::TokenKeys;

pub(crate) struct App {
    pub(crate) database: SlackDatabase,
    /// For work that nobody waits for.
    pub(crate) for_jobs: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) signing_secret: SigningSecret,
    pub(crate) token_keys: Arc<TokenKeys>,
    pub(crate) public_url: PublicUrl,
    pub(crate) managers: Arc<HashSet<String>>,
    pub(crate) pass_through: Option<Arc<PassThrough>>,
    pub(crate) others: Vec<Other>,
    pub(crate) late: Arc<Late>,
}

/// A button that another room answers, like the command that is its value.
pub(crate) struct Other {
    pub(crate) action: &'static str,
    /// The slash command that it belongs to.
    pub(crate) command: &'static str,
    pub(crate) answer: Box<dyn Fn(SlashCommand) -> Replying + Send + Sync>,
}

pub(crate) type Replying = Pin<Box<dyn Future<Output = Vec<Reply>> + Send>>;

impl FromRef<Arc<App>> for SigningSecret {
    fn from_ref(app: &Arc<App>) -> Self {
        app.signing_secret.clone()
    }
}
