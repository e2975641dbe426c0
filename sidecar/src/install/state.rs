//! What installations need.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::database::SlackDatabase;
use crate::settings::PublicUrl;
use crate::slack::{Credentials, SlackClient};
use crate::token::TokenKeys;

pub(crate) struct App {
    pub(crate) database: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) credentials: Credentials,
    pub(crate) token_keys: Arc<TokenKeys>,
    pub(crate) public_url: PublicUrl,
    pub(crate) scopes: Vec<&'static str>,
    /// What is finished although nobody waits for it; a graceful stop does.
    pub(crate) tasks: TaskTracker,
}
