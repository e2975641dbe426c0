//! The state of pages.

use std::sync::Arc;

use secrecy::SecretString;

use super::cache::Cache;
use super::guess::Guesses;
use crate::database::SlackDatabase;
use crate::pass_through::PassThrough;
use crate::spool::Spool;

pub(crate) struct App {
    pub(super) database: SlackDatabase,
    /// For the status page: viewing the status must not make it worse.
    pub(super) for_status: SlackDatabase,
    pub(super) viewer_password: Option<SecretString>,
    /// The scopes that installations request.
    pub(super) scopes: Vec<&'static str>,
    pub(super) pass_through: Option<Arc<PassThrough>>,
    pub(super) spool: Option<Arc<Spool>>,
    /// What viewers are shown.
    pub(super) cache: Cache,
    /// Wrong passwords of viewers.
    pub(super) guesses: Guesses,
}

impl App {
    pub(crate) fn new(
        database: SlackDatabase,
        for_status: SlackDatabase,
        viewer_password: Option<SecretString>,
        scopes: Vec<&'static str>,
        pass_through: Option<Arc<PassThrough>>,
        spool: Option<Arc<Spool>>,
    ) -> Self {
        Self {
            database,
            for_status,
            viewer_password,
            scopes,
            pass_through,
            spool,
            cache: Cache::default(),
            guesses: Guesses::default(),
        }
    }
}
