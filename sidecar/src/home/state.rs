//! The state of the App Home.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::FromRef;

use crate::database::SlackDatabase;
use crate::pass_through::PassThrough;
use crate::settings::PublicUrl;
use crate::slack::{SigningSecret, SlackClient};
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
}

impl FromRef<Arc<App>> for SigningSecret {
    fn from_ref(app: &Arc<App>) -> Self {
        app.signing_secret.clone()
    }
}
