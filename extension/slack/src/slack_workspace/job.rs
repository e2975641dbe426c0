//! The Slack app's jobs.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, nullable};
use pgrx::pg_sys;
use serde_json::Value;

kept! {
    static ENQUEUE: OwnStatement = OwnStatement::new(
        "select lockstep.enqueue_job($1, $2::jsonb, $3)",
        &[pg_sys::TEXTOID; 3],
    );
}

/// Returns the id of the new job, or of the one that already has the key.
pub(super) fn enqueue(worker: &str, args: &Value, unique_key: Option<&str>) -> Result<i64> {
    let mut job = 0;
    let arguments = [
        Some(datum(worker)),
        Some(datum(args.to_string())),
        nullable(unique_key),
    ];
    ENQUEUE.with(|enqueue| {
        enqueue.rows_with_nulls(&arguments, |row| {
            job = row.get(1).unwrap_or_default();
        })
    })?;
    Ok(job)
}
