//! Errors of service accounts.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) ServiceAccountError:
    NotAWorkflowTrigger { trigger: String, table: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("trigger \"{trigger}\" is not one that lockstep installed on \"{table}\""),
        "Its function fills the service account of new rows of duo_workflows_workflows, before insert.",
        "Drop the trigger; only lockstep.attach installs it.",
    ),
    NoSuchWorkflow { table: String, id: i64 } => (
        ERRCODE_NO_DATA_FOUND,
        format!("workflow {id} does not exist"),
        format!("Table {table} has no row of that id that the caller may see."),
        "Check the id, and the schema if GitLab's tables are not in public.",
    ),
    AccountOutOfRange { table: String, account: i64 } => (
        ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        format!("service account {account} does not fit into table \"{table}\""),
        "Its column service_account_id has a narrower type than that of the consumers.",
        format!(
            "Widen it: alter table {table} alter column service_account_id type bigint."
        ),
    ),
}
