//! The database part of GitLab's workers for integrations: [`event`] records events, [`cluster`] switches an integration for all
//! projects of a cluster.

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
