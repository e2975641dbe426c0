//! A project's path, for callers that may only speak for a part of the instance and were given its id.

use crate::error::{OrRaise, Result, required};
use crate::slack_workspace::host::{Kind, Owner, Tables};
use pgrx::prelude::*;

/// The full path of a project.
#[pg_extern(sql = r#"
create function lockstep_api.project_path(project_id bigint, schema text default 'public')
returns text language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.project_path(bigint, text) is
  'the full path of a project, including its groups; null if there is no such project';
revoke execute on function lockstep_api.project_path(bigint, text) from public;
"#)]
fn project_path(project_id: Option<i64>, schema: Option<&str>) -> Option<String> {
    let project = required(project_id, "project_id");
    let schema = required(schema, "schema");
    find(project, schema).or_raise()
}

fn find(project: i64, schema: &str) -> Result<Option<String>> {
    let owner = Owner {
        kind: Kind::Project,
        id: project,
    };
    owner.find_path(&*Tables::attached(schema)?)
}
