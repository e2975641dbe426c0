//! Removes records older than their retention time.

use crate::error::{OrRaise, Result, RetentionError, check_positive, required};
use crate::job;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, nullable};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// At most this many rows of each kind are removed at once.
const MOST_ROWS: usize = 10_000;

kept! {
    static KEPT: OwnStatement = OwnStatement::new(
        // The time comes from a subquery, because a volatile expression cannot be an index bound.
        "select format('delete from %1$s where ctid = any (array(
                          select o.ctid from %1$s o where %2$s and o.%3$I < (select clock_timestamp() - %4$L::interval)
                           order by o.%3$I limit $1 for update skip locked))', d.in_table, d.which, d.since, r.keep)
           from lockstep_internal.retained d join lockstep.retentions r using (what) where r.keep is not null order by what",
        &[],
    );
    static SET: OwnStatement = OwnStatement::new(
        "insert into lockstep_internal.retention (what, keep)
         select r.what, $2 from lockstep.retentions r where r.what = $1
         on conflict (what) do update set keep = excluded.keep",
        &[pg_sys::TEXTOID, pg_sys::INTERVALOID],
    );
}

/// Removes records older than their retention time, limited to what one transaction should hold.
#[pg_extern(sql = r#"
create function lockstep.sweep()
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.sweep() is
  'removes records that are older than lockstep.retentions says, 10,000 of each at most; returns how many: call it again as long as that is 10,000 or more';
revoke execute on function lockstep.sweep() from public;
grant execute on function lockstep.sweep() to lockstep_admin;
"#)]
fn sweep() -> i64 {
    remove_old().or_raise() as i64
}

fn remove_old() -> Result<u64> {
    let mut removals: Vec<String> = Vec::new();
    KEPT.with(|kept| kept.rows(&[], |row| removals.extend(row.get::<String>(1))))?;
    let most = [datum(MOST_ROWS as i64)];
    let runs = removals
        .iter()
        .map(|text| OwnStatement::new(text, &[pg_sys::INT8OID]).run(&most));
    let removed = runs.sum::<Result<u64>>()?;
    job::forget_places_of_nobody()?;
    job::correct_schedules()?;
    Ok(removed + job::forget_uses_of_unlimited(MOST_ROWS as i64)?)
}

/// Sets how long records are kept.
#[pg_extern(sql = r#"
create function lockstep.set_retention(what text, keep interval)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_retention(text, interval) is
  'sets how long records listed in lockstep.retentions are kept, null meaning forever; lockstep.sweep removes older ones';
revoke execute on function lockstep.set_retention(text, interval) from public;
grant execute on function lockstep.set_retention(text, interval) to lockstep_admin;
"#)]
fn set_retention(what: Option<&str>, keep: Option<Interval>) {
    let what = required(what, "what");
    let set = || -> Result<()> {
        if let Some(keep) = &keep {
            check_positive(keep, "keep")?;
        }
        let arguments = [Some(datum(what)), nullable(keep)];
        match SET.with(|statement| statement.run_with_nulls(&arguments))? {
            0 => Err(RetentionError::NoSuchRecord {
                what: what.to_owned(),
            }
            .into()),
            _ => Ok(()),
        }
    };
    set().or_raise();
}
