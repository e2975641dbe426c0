//! The account of a workflow that may not exist yet, as a function.

use super::resolver::{Resolver, Workflow};
use super::tables::{Access, Tables};
use crate::error::{OrRaise, required};
use crate::server::connected;
use pgrx::prelude::*;

/// The account of a workflow that names this version, definition, project and namespace, each of which may be null. Reads with
/// the caller's own rights.
#[pg_extern(sql = r#"
create function lockstep.resolve_service_account(
  item_version_id bigint, workflow_definition text, project_id bigint, namespace_id bigint, schema text default 'public')
returns bigint stable language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.resolve_service_account(bigint, text, bigint, bigint, text) is
  'the service account of a workflow that names these, as of now and with the rights of the caller; null if there is none';
"#)]
fn resolve_service_account(
    item_version_id: Option<i64>,
    workflow_definition: Option<&str>,
    project_id: Option<i64>,
    namespace_id: Option<i64>,
    schema: Option<&str>,
) -> Option<i64> {
    let schema = required(schema, "schema");
    let tables = Tables::of_schema(schema).or_raise();
    let workflow = [Workflow {
        version: item_version_id,
        definition: workflow_definition.map(str::to_owned),
        project: project_id,
        namespace: namespace_id,
    }];
    let mut resolver = Resolver::default();
    connected(|| resolver.look_up(&tables, Access::QUESTION, &workflow));
    let [workflow] = &workflow;
    resolver.outcome(workflow).account()
}
