//! What chatops needs.

use std::sync::Arc;

use super::environment::Environments;
use super::settings::Settings;
use crate::database::SlackDatabase;
use crate::interrupt::Finishing;
use crate::slack::SlackClient;
use crate::token::TokenKeys;

pub(crate) struct App {
    pub(crate) settings: Arc<Settings>,
    /// What is changed.
    pub(crate) environments: Environments,
    /// Of the app itself: who may do what.
    pub(crate) database: SlackDatabase,
    /// For what nobody waits for.
    pub(crate) for_jobs: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) token_keys: Arc<TokenKeys>,
    /// What is told after the request is over.
    pub(crate) finishing: Finishing,
}
