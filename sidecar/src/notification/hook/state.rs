//! What webhooks need.

use std::sync::Arc;

use super::publisher::Publisher;
use super::secret::HookSecrets;
use crate::database::SlackDatabase;
use crate::spool::Spool;

pub(crate) struct App {
    pub(crate) secrets: HookSecrets,
    pub(crate) database: SlackDatabase,
    /// For what GitLab tells of.
    pub(crate) publisher: Publisher,
    /// For what the database does not take in time.
    pub(crate) spool: Option<Arc<Spool>>,
}
