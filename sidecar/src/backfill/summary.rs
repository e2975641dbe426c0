//! The result of a run, for people who read it the morning after.

use std::fmt::Write;

use crate::database::{Progress, SetAside, Status};
use crate::text::{duration, number};

pub(super) fn of(progress: &Progress, set_aside: &[SetAside]) -> String {
    let Progress {
        run, job, table, ..
    } = progress;
    let seconds = progress.elapsed.as_secs_f64();
    let rate = match seconds > 0.0 {
        true => progress.scanned as f64 / seconds,
        false => 0.0,
    };
    let reasons: Vec<(String, String)> = progress
        .unresolved
        .iter()
        .map(|(reason, rows)| (format!("  {reason}"), number(*rows)))
        .collect();
    let mut rows = vec![
        ("scanned".to_owned(), number(progress.scanned)),
        ("updated".to_owned(), number(progress.updated)),
        ("unresolved".to_owned(), number(progress.unresolved_rows())),
    ];
    rows.extend(reasons);
    rows.extend([
        ("set aside".to_owned(), number(progress.set_aside)),
        ("time".to_owned(), duration(progress.elapsed)),
        ("rows/s".to_owned(), number(rate as i64)),
    ]);
    let width =
        |of: fn(&(String, String)) -> &str| rows.iter().map(|row| of(row).len()).max().unwrap_or(0);
    let (left, right) = (width(|row| &row.0), width(|row| &row.1));
    let status = progress.status.name();
    let mut text = format!("run {run} of {job} on {table}: {status}\n");
    for (name, value) in &rows {
        // Writing to a String never fails.
        let _ = writeln!(text, "  {name:<left$}  {value:>right$}");
    }
    if progress.set_aside > 0 {
        text.push_str(&failures(progress, set_aside));
    } else if progress.status == Status::Failed
        && let Some(error) = &progress.last_error
    {
        let _ = writeln!(text, "last error: {error}");
    }
    text
}

fn failures(progress: &Progress, set_aside: &[SetAside]) -> String {
    let run = progress.run;
    let mut text = String::from("ranges of keys that were set aside:\n");
    for range in set_aside {
        let after = match range.after.is_empty() {
            true => String::new(),
            false => format!("after {} ", range.after),
        };
        let _ = writeln!(text, "  {after}up to {}: {}", range.last, range.error);
    }
    let named = i64::try_from(set_aside.len()).unwrap_or(i64::MAX);
    if progress.set_aside > named {
        let _ = writeln!(text, "  and {} more", number(progress.set_aside - named));
    }
    let _ = writeln!(
        text,
        "see them:   select * from lockstep.backfill_set_aside where run = {run};"
    );
    if progress.status == Status::Failed {
        let _ = writeln!(text, "retry them: select lockstep.retry_backfill({run});");
    }
    text
}
