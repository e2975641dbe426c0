//! What sending messages needs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::database::SlackDatabase;
use crate::slack::SlackClient;
use crate::token::TokenKeys;

/// What it takes to send messages.
pub(crate) struct Delivering {
    /// For messages to channels, whose pace is not to depend on anything else.
    pub(crate) database: SlackDatabase,
    /// There may be some.
    pub(crate) wake: Arc<Notify>,
    pub(crate) slack: SlackClient,
    pub(crate) token_keys: Arc<TokenKeys>,
    /// So many are sent at the same time.
    pub(crate) most: usize,
    /// Messages a minute in one workspace.
    pub(crate) workspace_rate: i32,
    pub(crate) grace: Duration,
}
