//! What webhooks need.

use std::sync::Arc;

use super::publisher::Publisher;
use super::secret::HookSecrets;
use crate::database::SlackDatabase;
use crate::spool::Spool;

pub(crate) struct App {
    pub(crate) secrets: HookSecrets,
    pub(crate) database: SlackDatabase,
    /// For GitLab's events.
    pub(crate) publisher: Publisher,
    /// For webhooks that the database does not accept in time.
    pub(crate) spool: Option<Arc<Spool>>,
}
