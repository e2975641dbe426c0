//! The account of a workflow that may not exist yet, as an SQL function.

use super::resolver::{Resolver, Workflow};
use super::tables::Tables;
use crate::error::{OrRaise, required};
use lockstep_server::{View, connected};
use pgrx::prelude::*;

/// The account of a workflow with this version, definition, project, namespace and item, each of which may be null.
#[pg_extern(sql = r#"
create function lockstep.resolve_service_account(
  item_version_id bigint, workflow_definition text, project_id bigint, namespace_id bigint, schema text default 'public',
  item_id bigint default null)
returns bigint stable language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.resolve_service_account(bigint, text, bigint, bigint, text, bigint) is
  'the current service account of a workflow with these values; null if there is none; the caller must be able to read everything it depends on';
"#)]
fn resolve_service_account(
    item_version_id: Option<i64>,
    workflow_definition: Option<&str>,
    project_id: Option<i64>,
    namespace_id: Option<i64>,
    schema: Option<&str>,
    item_id: Option<i64>,
) -> Option<i64> {
    let schema = required(schema, "schema");
    let tables = Tables::of_schema(schema).or_raise();
    tables.check_caller_may_read().or_raise();
    let workflow = [Workflow {
        version: item_version_id,
        item: item_id,
        definition: workflow_definition.map(str::to_owned),
        project: project_id,
        namespace: namespace_id,
    }];
    let mut resolver = Resolver::default();
    connected(|| resolver.look_up(&tables, View::Caller, &workflow));
    let [workflow] = &workflow;
    resolver.outcome(workflow).account()
}
