//! How often a worker's jobs are retried.

use super::check_worker;
use crate::error::{JobError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

const MOST_RETRIES: i32 = 100;

kept! {
    static DEFINE: OwnStatement = OwnStatement::new(
        "insert into lockstep_internal.worker (name, retries, keeps_dead) values ($1, $2, $3)
         on conflict (name) do update set retries = excluded.retries, keeps_dead = excluded.keeps_dead",
        &[pg_sys::TEXTOID, pg_sys::INT4OID, pg_sys::BOOLOID],
    );
}

/// Sets a worker's retry rules, for jobs enqueued from now on.
#[pg_extern(sql = r#"
create function lockstep.define_worker(name text, retries integer, keeps_dead boolean default true)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.define_worker(text, integer, boolean) is
  'sets how often a worker''s failed jobs are retried, and whether dead jobs are kept; for jobs enqueued from now on';
revoke execute on function lockstep.define_worker(text, integer, boolean) from public;
grant execute on function lockstep.define_worker(text, integer, boolean) to lockstep_admin, lockstep_app;
"#)]
fn define_worker(name: Option<&str>, retries: Option<i32>, keeps_dead: Option<bool>) {
    let name = required(name, "name");
    let retries = required(retries, "retries");
    let keeps_dead = required(keeps_dead, "keeps_dead");
    define(name, retries, keeps_dead).or_raise();
}

fn define(name: &str, retries: i32, keeps_dead: bool) -> Result<()> {
    check_worker(name)?;
    if !(0..=MOST_RETRIES).contains(&retries) {
        return Err(JobError::Retries { retries }.into());
    }
    let arguments = [datum(name), datum(retries), datum(keeps_dead)];
    DEFINE.with(|statement| statement.run(&arguments))?;
    Ok(())
}
