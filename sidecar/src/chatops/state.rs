//! The state of chatops.

use std::sync::Arc;

use super::environment::Environments;
use super::settings::Settings;
use crate::database::SlackDatabase;
use crate::interrupt::Finishing;
use crate::slack::SlackClient;
use crate::token::TokenKeys;

pub(crate) struct App {
    pub(crate) settings: Arc<Settings>,
    /// The databases to change.
    pub(crate) environments: Environments,
    /// The app's own database: who may do what.
    pub(crate) database: SlackDatabase,
    /// For work that nobody waits for.
    pub(crate) for_jobs: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) token_keys: Arc<TokenKeys>,
    /// For notifications after the request has ended.
    pub(crate) finishing: Finishing,
}
