//! The state for sending messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::database::SlackDatabase;
use crate::slack::SlackClient;
use crate::token::TokenKeys;

/// What sending messages needs.
pub(crate) struct Delivering {
    /// For messages to channels, whose pace must not depend on anything else.
    pub(crate) database: SlackDatabase,
    /// There may be messages to send.
    pub(crate) wake: Arc<Notify>,
    pub(crate) slack: SlackClient,
    pub(crate) token_keys: Arc<TokenKeys>,
    /// A token could not be decrypted.
    pub(crate) unreadable: Arc<Notify>,
    /// The maximum number of messages in flight.
    pub(crate) most: usize,
    /// Messages per minute in one workspace.
    pub(crate) workspace_rate: i32,
    pub(crate) grace: Duration,
}
