//! Before the extension is dropped: enables the application's own triggers, and reports what will be removed.
//!
//! When PostgreSQL drops an extension, only event triggers run, so this is one, limited to that command. All other DDL only costs
//! a look at a list of tags.

use crate::error::{OrRaise, Result};
use crate::{cache_column, home};
use lockstep_server::{drops_extension, is_on_worker, may_drop};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// At the start of any DROP EXTENSION.
#[pg_extern(sql = "
create function lockstep_internal.before_drop() returns event_trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.before_drop() is 'event trigger: before lockstep is dropped, enables the triggers of the application that attach disabled';
revoke execute on function lockstep_internal.before_drop() from public;
create event trigger lockstep_before_drop on ddl_command_start when tag in ('DROP EXTENSION') execute function lockstep_internal.before_drop();
alter event trigger lockstep_before_drop enable always;
comment on event trigger lockstep_before_drop is 'gives the application its own triggers back before lockstep is dropped';")]
fn before_drop(fcinfo: pg_sys::FunctionCallInfo) {
    if drops_extension(fcinfo, &[c"lockstep"]) && may_drop() && !is_on_worker() {
        leave().or_raise();
    }
}

fn leave() -> Result<()> {
    let enabled = cache_column::give_back_all()?;
    if !enabled.is_empty() {
        notice!(
            "enabled the triggers of the application again that lockstep.attach disabled: {}",
            enabled.join(", ")
        );
    }
    cache_column::take_down_from_shards()?;
    home::say_what_would_go()
}
