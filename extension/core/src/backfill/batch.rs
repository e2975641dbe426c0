//! One batch: a job on one range of ids, in the caller's transaction.

use super::jobs::{Counts, registry};
use crate::error::{BackfillError, OrRaise, Result, check_range, required};
use lockstep_server::sleep;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// Runs a job on the rows with ids from `start_id` to `end_id`, both included, `sub_batch_size` at a time with a pause in
/// between. All in one transaction: its writes stay locked until that ends.
#[pg_extern(sql = r#"
create function lockstep.backfill_batch(job text, start_id bigint, end_id bigint, sub_batch_size integer default 1000,
                                        pause_ms integer default 0, "table" regclass default null)
returns table (scanned bigint, updated bigint, unresolved bigint)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.backfill_batch(text, bigint, bigint, integer, integer, regclass) is
  'does a backfill job to one range of ids in the transaction of the caller; how many rows there were, were updated, could not be resolved';
"#)]
fn backfill_batch(
    job: Option<&str>,
    start_id: Option<i64>,
    end_id: Option<i64>,
    sub_batch_size: Option<i32>,
    pause_ms: Option<i32>,
    table: Option<Oid>,
) -> TableIterator<
    'static,
    (
        name!(scanned, i64),
        name!(updated, i64),
        name!(unresolved, i64),
    ),
> {
    let job = required(job, "job");
    let ids = (required(start_id, "start_id"), required(end_id, "end_id"));
    let sub_batch_size = required(sub_batch_size, "sub_batch_size");
    let pause_ms = required(pause_ms, "pause_ms");
    let counts = batch(job, table, ids, sub_batch_size, pause_ms).or_raise();
    TableIterator::once((counts.scanned, counts.updated, counts.unresolved_rows()))
}

fn batch(
    job: &str,
    table: Option<Oid>,
    (start, end): (i64, i64),
    sub_batch_size: i32,
    pause_ms: i32,
) -> Result<Counts> {
    check_range(("start_id", start), ("end_id", end))?;
    for (name, value, least) in [
        ("sub_batch_size", sub_batch_size, 1),
        ("pause_ms", pause_ms, 0),
    ] {
        if value < least {
            return Err(BackfillError::TooSmall { name, least, value }.into());
        }
    }
    let task = registry::task(job, registry::table_of(job, table)?)?;
    let Some(mut rest) = task.walk.ids(start, end) else {
        return Err(BackfillError::KeyNotInteger {
            job: job.to_owned(),
            table: task.table.qualified_name(),
        }
        .into());
    };
    let mut counts = Counts::default();
    loop {
        let (part, rows) = task.walk.cut(&rest, sub_batch_size);
        if rows > 0 {
            let done = task.as_owner(|| task.job.run(&part))?;
            counts.add(&Counts {
                scanned: rows,
                ..done
            });
        }
        if part.last == rest.last {
            return Ok(counts);
        }
        rest.after = part.last;
        if pause_ms > 0 {
            sleep(pause_ms);
        }
    }
}
