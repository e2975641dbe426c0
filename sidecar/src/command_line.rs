//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Runs and watches what lockstep does inside a PostgreSQL database
#[derive(Debug, Parser)]
#[command(name = "lockstep-sidecar", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Backfill(Backfill),
}

const EXAMPLES: &str = "\
Examples:
  lockstep-sidecar backfill service_accounts --workers 2 --database-url postgres://dba@db.example/gitlab
  lockstep-sidecar backfill cache_columns --table public.projects --settings '{\"pause_ms\": 50}'

Exit status:
  0    finished: every row was looked at
  1    failed or cancelled; the ranges that were set aside are named
  2    wrong usage, the database refused, or it could not be reached
  130  interrupted: the run is paused, and the same command goes on with it

The connection: --database-url, else DATABASE_URL, as postgres://user@host/database or as \"host=... dbname=...\". What it
leaves out is taken from PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. sslmode is disable, prefer (the default),
require, or verify-full, which alone checks the certificate of the server, against the certificates that the system
trusts or those in the file that SSL_CERT_FILE names. RUST_LOG=lockstep_sidecar=debug tells about connections.";

/// Run a backfill job and watch it
///
/// Starts a run of JOB in background workers of the database and shows how far it is, until it is over. If the job has a run
/// on the table already, that one is watched instead: one that is paused is resumed, and one that has lost its workers gets
/// new ones. --workers and --settings then change that run.
///
/// Ctrl-C (or SIGTERM) pauses the run, also one that was running before this command: it waits for the sub-batches under way
/// and prints the command that goes on. Nothing is lost or done twice. A second Ctrl-C does not wait. If this command dies
/// or its connection is lost, the run goes on by itself.
///
/// In a terminal one line shows the progress. Elsewhere a line is written every few seconds, and whenever the status
/// or what holds the run changes. Both go to stderr, the summary to stdout.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Backfill {
    /// service_accounts, cache_columns, or a job of lockstep.register_backfill_job
    pub(crate) job: String,

    /// The table to go through; needed if the job has several
    #[arg(long)]
    pub(crate) table: Option<String>,

    /// How many background workers; a new run has one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub(crate) workers: Option<i32>,

    /// Settings of the run as a JSON object, such as '{"target_ms": 50}'; the README lists them
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(crate) settings: Option<Value>,

    /// The database, as a URL or as keywords; may hold a password, which is never shown
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    pub(crate) database_url: Option<SecretString>,

    /// Upon Ctrl-C stop watching, and let the run go on
    #[arg(long)]
    pub(crate) detach_on_interrupt: bool,

    /// Without a terminal: seconds between two lines
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
}

impl Backfill {
    /// The command that goes on with a run of this job, without what the run itself has kept, and without the password.
    pub(crate) fn command_to_go_on(&self) -> String {
        let mut words = vec!["lockstep-sidecar".to_owned(), "backfill".to_owned()];
        words.push(quoted(&self.job));
        if let Some(table) = &self.table {
            words.extend(["--table".to_owned(), quoted(table)]);
        }
        let variable = std::env::var("DATABASE_URL").unwrap_or_default();
        if let Some(url) = &self.database_url
            && !url.expose_secret().is_empty()
            && url.expose_secret() != variable
        {
            words.push("--database-url ...".to_owned());
        }
        words.join(" ")
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:=".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

// A parser of its own, whose errors cannot quote the text.
fn secret(text: &str) -> Result<SecretString, String> {
    Ok(SecretString::from(text))
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
    use super::{Arguments, Command, quoted};
    use clap::{CommandFactory, Parser};

    #[test]
    fn declarations_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn command_to_go_on_is_safe_to_paste_and_tells_no_password() {
        let arguments = Arguments::parse_from([
            "lockstep-sidecar",
            "backfill",
            "job",
            "--table",
            "\"My Table\"",
            "--database-url",
            "postgres://dba:secret@host/db",
        ]);
        let Command::Backfill(backfill) = arguments.command;
        assert_eq!(
            backfill.command_to_go_on(),
            "lockstep-sidecar backfill job --table '\"My Table\"' --database-url ..."
        );
        assert!(!format!("{backfill:?}").contains("secret"));
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
