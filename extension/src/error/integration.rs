//! What can go wrong with integrations.

use super::report::{Report, report};
use pgrx::PgSqlErrorCode::*;

#[derive(Debug)]
pub(crate) enum IntegrationError {
    TableMissing { schema: String, name: &'static str },
    Name { name: String },
}

impl IntegrationError {
    pub(super) fn into_report(self) -> Report {
        match self {
            Self::TableMissing { schema, name } => report(
                ERRCODE_UNDEFINED_TABLE,
                format!("schema {schema} has no table {name}"),
                "Integrations, and the clusters whose projects have them, are tables of the host in one schema.",
                "Name the schema that holds the host's tables.",
            ),
            Self::Name { name } => report(
                ERRCODE_INVALID_NAME,
                format!("\"{name}\" is not a name for an integration"),
                "The host names integrations in small letters, digits and underscores.",
                "For example: prometheus.",
            ),
        }
    }
}
