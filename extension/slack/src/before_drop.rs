//! Before the extension is dropped.

use crate::error::{OrRaise, Result};
use crate::held;
use lockstep_server::{OwnStatement, drops_extension, is_on_worker, may_drop};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// At the start of any DROP EXTENSION.
#[pg_extern(sql = "
create function lockstep_internal.before_drop_of_slack() returns event_trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.before_drop_of_slack() is 'event trigger: before lockstep_slack is dropped, says what goes with it';
revoke execute on function lockstep_internal.before_drop_of_slack() from public;
create event trigger lockstep_slack_before_drop on ddl_command_start when tag in ('DROP EXTENSION') execute function lockstep_internal.before_drop_of_slack();
alter event trigger lockstep_slack_before_drop enable always;
comment on event trigger lockstep_slack_before_drop is 'says what goes with lockstep_slack before it is dropped';")]
fn before_drop_of_slack(fcinfo: pg_sys::FunctionCallInfo) {
    // It is dropped together with lockstep.
    if drops_extension(fcinfo, &[c"lockstep_slack", c"lockstep"]) && may_drop() {
        leave().or_raise();
    }
}

fn leave() -> Result<()> {
    // What the extension has registered with lockstep.
    for forget in [
        "delete from lockstep_internal.host_worker where name like 'Slack::%'",
        "delete from lockstep_internal.retained r using pg_depend d, pg_extension e
          where d.classid = 'pg_class'::regclass and d.objid = r.in_table and d.deptype = 'e' and e.oid = d.refobjid and e.extname = 'lockstep_slack'",
        "delete from lockstep_internal.runner_limit where role = 'lockstep_sidecar'",
        "delete from lockstep_internal.backfill_function where job = 'slack_workspaces'",
    ] {
        OwnStatement::on_each_server(forget).run(&[])?;
    }
    match is_on_worker() {
        true => Ok(()),
        false => held::say_what_would_go(),
    }
}
