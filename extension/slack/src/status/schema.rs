//! Reports in SQL refuse an unknown schema as functions in Rust do.

use crate::error::{OrRaise, required};
use lockstep_server::host;
use pgrx::prelude::*;

/// For the condition of a report, which is evaluated before anything else.
#[pg_extern(sql = r#"
create function lockstep_internal.is_schema(schema text)
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.is_schema(text) is
  'true, or an error if there is no such schema';
revoke execute on function lockstep_internal.is_schema(text) from public;
"#)]
fn is_schema(schema: Option<&str>) -> bool {
    host::check_schema(required(schema, "schema")).or_raise();
    true
}
