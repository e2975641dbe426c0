//! The options of the Slack app.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::BoolishValueParser;
use secrecy::SecretString;

use crate::chatops::Chatops;
use crate::connection::Connection;
use crate::install::Installers;
use crate::notification::Hooks;
use crate::pass_through::GitLab;
use crate::settings::SecretParser;
use crate::spool::SpoolArguments;
use crate::token::TokenKeyArguments;

const EXAMPLES: &str = "\
Example. Secrets are in the environment, as others see a command line:
  export DATABASE_URL='host=db1,db2 dbname=gitlab target_session_attrs=read-write'
  export LOCKSTEP_PUBLIC_URL=https://slack.example LOCKSTEP_TOKEN_KEY=...
  export SLACK_CLIENT_ID=... SLACK_CLIENT_SECRET=... SLACK_SIGNING_SECRET=...
  lockstep-sidecar check      tells what is wrong with these settings
  lockstep-sidecar manifest   prints what to create the app with at api.slack.com
  lockstep-sidecar serve

Pages:
  GET /                             Add to Slack; which workspaces have the app
  GET /slack/install, .../callback  the installation
  GET /healthz, /readyz             for load balancers
  GET /readyz/hooks                 whether webhooks are accepted, by the database or the spool
  GET /metrics                      for Prometheus, only on --admin-listen
Signed by Slack:
  POST /api/v4/integrations/slack/events, .../interactions, .../options
  POST /api/v4/slack/trigger
  What is not for this program goes to the same path of --gitlab-url
From GitLab, with a secret or signed:
  POST /gitlab/hooks                webhooks, that channels are notified of

Exit status:
  0    stopped by a signal, and what it had taken is done
  1    stopped by a signal, and --grace was over before all was done
  2    wrong usage or configuration, the address is taken, or a part of it failed
  130  a second signal: what was under way is given up

RUST_LOG=lockstep_sidecar=debug logs each request.";

/// Serve the Slack app
///
/// Accepts requests from Slack, answers at once or enqueues a job, and runs these jobs. Accepts webhooks from GitLab, and
/// notifies Slack channels. Except for webhooks in the spool, if there is one, it stores nothing itself, so any number can run
/// behind a load balancer.
///
/// SIGTERM or Ctrl-C stops it: /readyz reports this, it continues for --drain-delay, accepts no more connections, and finishes
/// accepted requests, but waits no longer than --grace. It connects to the database by itself, even if that starts later or
/// moves.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    /// The address to listen on
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "LOCKSTEP_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: SocketAddr,

    /// Where /metrics is, and /healthz and /readyz once more
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "LOCKSTEP_ADMIN_LISTEN",
        default_value = "127.0.0.1:9188"
    )]
    pub(crate) admin_listen: SocketAddr,

    /// The address at which Slack and browsers reach this program
    #[arg(long, value_name = "URL", env = "LOCKSTEP_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,

    /// Slack's address
    #[arg(
        long,
        value_name = "URL",
        env = "LOCKSTEP_SLACK_URL",
        default_value = "https://slack.com"
    )]
    pub(crate) slack_url: String,

    /// A password, with any user name, for the page that shows which workspaces have the app; without it nobody can see that
    #[arg(long, value_name = "PASSWORD", env = "LOCKSTEP_VIEWER_PASSWORD", hide_env_values = true, value_parser = SecretParser)]
    pub(crate) viewer_password: Option<SecretString>,

    /// The proxy in front sets X-Forwarded-For, and the last address there is the client's: wrong passwords are then counted per
    /// viewer, not for everyone behind the proxy
    #[arg(long, env = "LOCKSTEP_FORWARDED_FOR", value_parser = BoolishValueParser::new())]
    pub(crate) forwarded_for: bool,

    /// A Slack user who may switch projects on and off, in addition to maintainers with a linked GitLab account and users who
    /// installed with a ticket; may be given several times
    #[arg(
        long = "manager",
        value_name = "USER ID",
        env = "LOCKSTEP_MANAGERS",
        value_delimiter = ','
    )]
    pub(crate) managers: Vec<String>,

    #[command(flatten)]
    pub(crate) installers: Installers,

    /// How many of the app's jobs run at the same time; 0 leaves them to others
    #[arg(help_heading = "Work", long, value_name = "N", env = "LOCKSTEP_JOB_CONCURRENCY", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) job_concurrency: u16,

    /// How many messages are sent to Slack at the same time; 0 leaves them to others
    #[arg(help_heading = "Work", long, value_name = "N", env = "LOCKSTEP_DELIVERIES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) deliveries: u16,

    /// Messages per minute in one workspace, over all such programs together; Slack allows several hundred
    #[arg(help_heading = "Work", long, value_name = "N", env = "LOCKSTEP_WORKSPACE_RATE", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) workspace_rate: u32,

    /// How old the last count of rows that differ may be before it is repeated, which reads whole tables; 0 leaves that to others
    #[arg(help_heading = "Work", long, value_name = "HOURS", env = "LOCKSTEP_DRIFT_PERIOD", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=8_760))]
    pub(crate) drift_period: u16,

    /// Seconds that running requests and jobs get to finish after a signal
    #[arg(help_heading = "Stopping", long, value_name = "SECONDS", env = "LOCKSTEP_GRACE", default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) grace: u64,

    /// Seconds after a signal in which requests are still accepted, for the load balancer to notice
    #[arg(help_heading = "Stopping", long, value_name = "SECONDS", env = "LOCKSTEP_DRAIN_DELAY", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) drain_delay: u64,

    /// The schema of GitLab's tables
    #[arg(
        help_heading = "Database",
        long,
        env = "LOCKSTEP_SCHEMA",
        default_value = "public"
    )]
    pub(crate) schema: String,

    /// Database sessions for requests
    #[arg(help_heading = "Database", long, value_name = "N", env = "LOCKSTEP_SESSIONS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) sessions: u16,

    /// The database is reached through a transaction-mode pooler such as pgbouncer: jobs are then polled for
    #[arg(help_heading = "Database", long, env = "LOCKSTEP_POOLER", value_parser = BoolishValueParser::new())]
    pub(crate) pooler: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,

    #[command(flatten)]
    pub(crate) app: SlackApp,

    #[command(flatten)]
    pub(crate) keys: TokenKeyArguments,

    #[command(flatten)]
    pub(crate) gitlab: GitLab,

    #[command(flatten)]
    pub(crate) hooks: Hooks,

    #[command(flatten)]
    pub(crate) spool: SpoolArguments,

    #[command(flatten)]
    pub(crate) chatops: Chatops,
}

/// From the app's page "Basic Information" at Slack
#[derive(Args, Debug)]
#[command(next_help_heading = "Slack app")]
pub(crate) struct SlackApp {
    /// The app's client id
    #[arg(long, value_name = "ID", env = "SLACK_CLIENT_ID")]
    pub(crate) slack_client_id: Option<String>,

    /// The app's client secret
    #[arg(long, value_name = "SECRET", env = "SLACK_CLIENT_SECRET", hide_env_values = true, value_parser = SecretParser)]
    pub(crate) slack_client_secret: Option<SecretString>,

    /// The secret that Slack signs its requests with
    #[arg(long, value_name = "SECRET", env = "SLACK_SIGNING_SECRET", hide_env_values = true, value_parser = SecretParser)]
    pub(crate) slack_signing_secret: Option<SecretString>,
}
