//! Arguments of the command `backfill`.

use clap::Args;
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::connection::{Connection, connection_help};

const BACKFILL_EXAMPLES: &str = concat!("\
Examples:
  lockstep-sidecar backfill service_accounts --workers 2 --database-url postgres://dba@db.example/gitlab
  lockstep-sidecar backfill service_accounts --dry-run
  lockstep-sidecar backfill cache_columns --table public.projects --settings '{\"pause_ms\": 50}'

Exit status:
  0    finished: every row was looked at, or (--dry-run) counted
  1    failed or cancelled, with the ranges that were set aside, or its workers gave up
  2    wrong usage, the database refused, or it could not be reached
  130  interrupted: the run is paused, and the same command resumes it; --dry-run is cancelled

", connection_help!());

/// Run a backfill job and watch it
///
/// Starts a run of JOB in background workers of the database and shows its progress until it ends. If the job already has a run
/// on the table, that one is watched instead: a paused run is resumed, and one that has lost its workers gets new ones. --workers
/// and --settings then change that run.
///
/// Ctrl-C (or SIGTERM) pauses the run, even if it was started before this command: it waits for the current sub-batches and
/// prints the command that resumes the run. Nothing is lost or done twice. A second Ctrl-C does not wait. If this command dies or
/// its connection is lost, the run continues by itself.
///
/// In a terminal one line shows the progress. Otherwise a line is written every few seconds, and whenever the status or the
/// reason for a hold changes. Both go to stderr, the summary to stdout.
#[derive(Args, Debug)]
#[command(after_help = BACKFILL_EXAMPLES)]
pub(crate) struct Backfill {
    /// service_accounts, cache_columns, or a job registered with lockstep.register_backfill_job
    pub(crate) job: String,

    /// The table to process; required if the job has several
    #[arg(long)]
    pub(crate) table: Option<String>,

    /// Number of background workers; a new run has one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub(crate) workers: Option<i32>,

    /// Settings of the run as a JSON object, such as '{"target_ms": 50}'; docs/reference/settings.md lists them
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(crate) settings: Option<Value>,

    /// Only count what the job would do, and change nothing; reads the whole table
    #[arg(long, conflicts_with_all = ["workers", "settings", "detach_on_interrupt"])]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,

    /// On Ctrl-C stop watching, and let the run continue
    #[arg(long)]
    pub(crate) detach_on_interrupt: bool,

    /// Without a terminal: seconds between two lines
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
}

impl Backfill {
    /// The command that resumes a run of this job, without what the run itself has stored, and without the password.
    pub(crate) fn command_to_go_on(&self) -> String {
        let mut words = vec!["lockstep-sidecar".to_owned(), "backfill".to_owned()];
        words.push(quoted(&self.job));
        if let Some(table) = &self.table {
            words.extend(["--table".to_owned(), quoted(table)]);
        }
        let variable = std::env::var("DATABASE_URL").unwrap_or_default();
        if let Some(url) = &self.connection.database_url
            && !url.expose_secret().is_empty()
            && url.expose_secret() != variable
        {
            words.push("--database-url ...".to_owned());
        }
        words.join(" ")
    }
}

/// A word, quoted for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("not a JSON object".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Backfill, quoted};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        backfill: Backfill,
    }

    #[test]
    fn command_to_go_on_is_safe_to_paste_and_tells_no_password() {
        let Line { backfill } = Line::parse_from([
            "backfill",
            "job",
            "--table",
            "\"My Table\"",
            "--database-url",
            "postgres://dba:secret@host/db",
        ]);
        assert_eq!(
            backfill.command_to_go_on(),
            "lockstep-sidecar backfill job --table '\"My Table\"' --database-url ..."
        );
        assert!(!format!("{backfill:?}").contains("secret"));
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
