//! What the host's workers do to integrations, as far as it is done in the database: [`event`] for the workers of events,
//! [`cluster`] for those that switch an integration of all projects of a cluster.

mod cluster;
mod event;

use crate::error::{IntegrationError, Result};
use lockstep_server::host::{self, Relation};

fn table(schema: &str, name: &'static str) -> Result<Relation> {
    host::check_schema(schema)?;
    Relation::find_table(schema, name)?.ok_or_else(|| {
        IntegrationError::TableMissing {
            schema: schema.to_owned(),
            name,
        }
        .into()
    })
}
