//! A project by what people call it.

use super::target;
use crate::error::{OrRaise, required};
use pgrx::prelude::*;

/// The project that has a path now.
#[pg_extern(sql = r#"
create function lockstep.project_id(path text, schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.project_id(text, text) is
  'the id of the project that has a full path now; null if there is none';
revoke execute on function lockstep.project_id(text, text) from public;
grant execute on function lockstep.project_id(text, text) to lockstep_admin;
"#)]
fn project_id(path: Option<&str>, schema: Option<&str>) -> Option<i64> {
    let path = required(path, "path");
    target::project(path, required(schema, "schema")).or_raise()
}
