//! The state of installations.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::options::Allowed;
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
    /// Which workspaces may be new without a ticket.
    pub(crate) allowed: Allowed,
    /// Work that is finished even if nobody waits for it, except a graceful stop.
    pub(crate) tasks: TaskTracker,
}
