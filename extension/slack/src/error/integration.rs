//! Errors of integrations.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) IntegrationError:
    TableMissing { schema: String, name: &'static str } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("schema {schema} has no table {name}"),
        "Integrations, and the clusters whose projects have them, are tables of the host in one schema.",
        "Name the schema that holds the host's tables.",
    ),
    Name { name: String } => (
        ERRCODE_INVALID_NAME,
        format!("\"{name}\" is not a name for an integration"),
        "The host names integrations in small letters, digits and underscores.",
        "For example: prometheus.",
    ),
}
