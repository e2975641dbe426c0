//! What a job would do, without doing it.

use super::jobs::registry;
use crate::error::{BackfillError, OrRaise, Result, required};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::collections::BTreeMap;

/// Counts what a job would do, by outcome. It writes and locks nothing.
#[pg_extern(sql = r#"
create function lockstep.preview_backfill(job text, "table" regclass default null, examples integer default 5)
returns table (outcome text, writes boolean, rows bigint, examples bigint[])
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.preview_backfill(text, regclass, integer) is
  'what a built-in backfill job would do: the rows of each outcome, whether it would write them or why it could not resolve them, with the first keys; a row counts for each of its columns; reads the whole table and changes nothing';
"#)]
#[allow(clippy::type_complexity)]
fn preview_backfill(
    job: Option<&str>,
    table: Option<Oid>,
    examples: Option<i32>,
) -> TableIterator<
    'static,
    (
        name!(outcome, String),
        name!(writes, bool),
        name!(rows, i64),
        name!(examples, Vec<i64>),
    ),
> {
    let job = required(job, "job");
    let examples = required(examples, "examples");
    let rows = preview(job, table, examples).or_raise().into_iter();
    TableIterator::new(
        rows.map(|((outcome, writes), tally)| (outcome, writes, tally.rows, tally.examples)),
    )
}

#[derive(Default)]
struct Tally {
    rows: i64,
    examples: Vec<i64>,
}

fn preview(
    job: &str,
    table: Option<Oid>,
    examples: i32,
) -> Result<BTreeMap<(String, bool), Tally>> {
    let Ok(most) = usize::try_from(examples) else {
        return Err(BackfillError::TooSmall {
            name: "examples",
            least: 0,
            value: examples,
        }
        .into());
    };
    // It also checks that the caller has the rights of the table's owner.
    let task = registry::task(job, registry::table_of(job, table)?)?;
    let mut tallies: BTreeMap<(String, bool), Tally> = BTreeMap::new();
    let is_known = task.job.preview(&mut |outcome, writes, key| {
        let tally = tallies.entry((outcome.to_owned(), writes)).or_default();
        tally.rows += 1;
        if tally.examples.len() < most {
            tally.examples.push(key);
        }
    })?;
    match is_known {
        true => Ok(tallies),
        false => Err(BackfillError::NoPreview {
            job: job.to_owned(),
        }
        .into()),
    }
}
