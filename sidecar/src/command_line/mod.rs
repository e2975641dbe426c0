//! What can be said on the command line.

mod chatops;
mod serve;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

pub(crate) use chatops::Chatops;
pub(crate) use serve::{Check, Hooks, ImportSettings, Manifest, Rekey, Serve, TokenKeyArguments};

/// Serves the Slack app of lockstep, and runs and watches what it does inside a PostgreSQL database
#[derive(Debug, Parser)]
#[command(name = "lockstep-sidecar", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// How the log is written
    #[arg(long, global = true, display_order = 900, value_enum, env = "LOCKSTEP_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// A line for people, or an object for programs
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<Serve>),
    Check(Box<Check>),
    Manifest(Manifest),
    Rekey(Rekey),
    ImportSettings(ImportSettings),
    Backfill(Backfill),
    Work(Work),
}

macro_rules! connection_help {
    () => {
        "\
The connection: --database-url, else DATABASE_URL, as postgres://user@host/database or as \"host=... dbname=...\". What it \
         leaves out is taken from PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE. sslmode is disable, prefer (the default), \
         require, or verify-full, which alone checks the certificate of the server, against the certificates that the system \
         trusts or those in the file that SSL_CERT_FILE names. RUST_LOG=lockstep_sidecar=debug tells about connections."
    };
}

/// Where the database is
#[derive(Args, Debug)]
pub(crate) struct Connection {
    /// The database, as a URL or as keywords; may hold a password, which is never shown
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true, value_parser = secret)]
    pub(crate) database_url: Option<SecretString>,
}

const BACKFILL_EXAMPLES: &str = concat!("\
Examples:
  lockstep-sidecar backfill service_accounts --workers 2 --database-url postgres://dba@db.example/gitlab
  lockstep-sidecar backfill cache_columns --table public.projects --settings '{\"pause_ms\": 50}'

Exit status:
  0    finished: every row was looked at
  1    failed or cancelled, with the ranges that were set aside, or its workers gave up
  2    wrong usage, the database refused, or it could not be reached
  130  interrupted: the run is paused, and the same command goes on with it

", connection_help!());

const WORK_EXAMPLES: &str = concat!(
    "\
Examples:
  lockstep-sidecar work --concurrency 20 --database-url postgres://dba@db.example/gitlab
  lockstep-sidecar work --worker IrkerWorker --worker Integrations::ExecuteWorker
  lockstep-sidecar work --until-empty

Exit status:
  0    stopped by a signal, or (--until-empty) no job was left; what it had is done or given back
  2    wrong usage, the database refused, or it could not be reached at the start
  130  a second signal: what was running is given back, and may be done again

",
    connection_help!()
);

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
#[command(after_help = BACKFILL_EXAMPLES)]
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

    #[command(flatten)]
    pub(crate) connection: Connection,

    /// Upon Ctrl-C stop watching, and let the run go on
    #[arg(long)]
    pub(crate) detach_on_interrupt: bool,

    /// Without a terminal: seconds between two lines
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
}

/// Run jobs of the queue
///
/// Claims jobs of the workers it knows, runs them and hands them in, until a signal stops it. Several such processes share
/// the jobs; if one dies, the others take over its jobs when its lease ends.
///
/// Ctrl-C (or SIGTERM) stops it: it claims no more, gives back what it has not begun and finishes what it has, but waits no
/// longer than --grace. A second one gives back everything at once. If the connection is lost it connects again by itself.
///
/// A worker that was renamed is known by both its names.
#[derive(Args, Debug)]
#[command(after_help = WORK_EXAMPLES)]
pub(crate) struct Work {
    /// Only jobs of this worker, by either of its names; may be given several times
    #[arg(long = "worker", value_name = "NAME")]
    pub(crate) workers: Vec<String>,

    /// How many jobs run at the same time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) concurrency: u16,

    /// Seconds without a sign of life after which others take over the jobs
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) lease: u64,

    /// Seconds after which it looks for jobs although nobody has told it of one
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) poll: u64,

    /// Seconds that running jobs get to finish after a signal
    #[arg(long, value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) grace: u64,

    /// What to call this process in lockstep.job_runner [default: host and process number]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// The schema of the host's tables
    #[arg(long, default_value = "public")]
    pub(crate) schema: String,

    /// End when no job is left that could be run now
    #[arg(long)]
    pub(crate) until_empty: bool,

    /// The database is reached through a pooler such as pgbouncer in transaction mode: jobs are then polled for
    #[arg(long, env = "LOCKSTEP_POOLER", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) pooler: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
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
        if let Some(url) = &self.connection.database_url
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
pub(super) fn secret(text: &str) -> Result<SecretString, String> {
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
        let Command::Backfill(backfill) = arguments.command else {
            unreachable!("the command line says backfill");
        };
        assert_eq!(
            backfill.command_to_go_on(),
            "lockstep-sidecar backfill job --table '\"My Table\"' --database-url ..."
        );
        assert!(!format!("{backfill:?}").contains("secret"));
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
