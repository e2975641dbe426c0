//! Arguments of the command `work`.

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::connection::{Connection, connection_help};

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

/// Run jobs from the queue
///
/// Claims jobs of the workers it knows, runs and completes them, until a signal stops it. Several such processes share the jobs;
/// if one dies, the others take over its jobs when its lease ends.
///
/// Ctrl-C (or SIGTERM) stops it: it claims no more jobs, returns those it has not started and finishes the others, but waits no
/// longer than --grace. A second signal returns everything at once. If the connection is lost it reconnects by itself.
///
/// A renamed worker is known by both its names.
#[derive(Args, Debug)]
#[command(after_help = WORK_EXAMPLES)]
pub(crate) struct Work {
    /// Only jobs of this worker, by either of its names; may be given several times
    #[arg(long = "worker", value_name = "NAME")]
    pub(crate) workers: Vec<String>,

    /// How many jobs run at the same time
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) concurrency: u16,

    /// Seconds without a heartbeat after which others take over the jobs
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) lease: u64,

    /// Seconds after which it looks for jobs without a notification
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) poll: u64,

    /// Seconds that running jobs get to finish after a signal
    #[arg(long, value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) grace: u64,

    /// The name of this process among the job runners [default: host and process number]
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// The schema of GitLab's tables
    #[arg(long, default_value = "public")]
    pub(crate) schema: String,

    /// Exit when no job is left that could run now
    #[arg(long)]
    pub(crate) until_empty: bool,

    /// The database is reached through a transaction-mode pooler such as pgbouncer: jobs are then polled for
    #[arg(long, env = "LOCKSTEP_POOLER", value_parser = BoolishValueParser::new())]
    pub(crate) pooler: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
}
