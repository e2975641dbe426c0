//! The templates created so far.

use anyhow::Result;

use super::state::State;
use crate::server::Server;

#[derive(Default)]
pub(super) struct Templates(Vec<State>);

impl Templates {
    /// Creates the template of a state if it does not exist.
    pub(super) fn have(&mut self, server: &mut Server, state: State) -> Result<()> {
        if !self.0.contains(&state) {
            state.create(server)?;
            self.0.push(state);
        }
        Ok(())
    }

    pub(super) fn drop_all(self, server: &mut Server) -> Result<()> {
        for state in self.0 {
            server.drop_database(&state.template())?;
        }
        Ok(())
    }
}
