//! Errors of integrations.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) IntegrationError:
    TableMissing { schema: String, name: &'static str } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("schema {schema} has no table {name}"),
        "GitLab's tables of integrations and clusters must be in one schema.",
        "Name the schema that contains GitLab's tables.",
    ),
    Name { name: String } => (
        ERRCODE_INVALID_NAME,
        format!("\"{name}\" is not a valid name of an integration"),
        "Names of integrations consist of lower-case letters, digits and underscores.",
        "For example: prometheus.",
    ),
}
