//! The commands as declared to the parser; their doc comments are the help.

use clap::{Args, Subcommand};

use crate::chatops::environment::Name;

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Command {
    /// Show and set feature flags
    #[command(subcommand)]
    Feature(Feature),

    /// Show where a commit is deployed
    #[command(subcommand, name = "auto_deploy")]
    AutoDeploy(AutoDeploy),

    /// Show whether a merge request is in a release
    #[command(subcommand)]
    Release(Release),

    /// Show and control backfills
    #[command(subcommand)]
    Backfill(Backfill),

    /// Show renamed workers, and retire old names
    #[command(subcommand)]
    Workers(Workers),

    /// Count the rows that have drifted; reads all of them
    Drift(Looked),

    /// Show the state of a flag's rollout, or flags unchanged for two months
    Rollout(Rollout),

    /// Declare and close incidents: severity 1 or 2 blocks flag changes in production
    #[command(subcommand)]
    Incident(Incident),
}

/// The databases to use; production if none is named
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Environments (production if none is named)")]
pub(in crate::chatops) struct Environments {
    /// In dev
    #[arg(long)]
    dev: bool,

    /// In ops
    #[arg(long)]
    ops: bool,

    /// In pre
    #[arg(long)]
    pre: bool,

    /// In staging
    #[arg(long)]
    staging: bool,

    /// In staging-ref
    #[arg(long)]
    staging_ref: bool,

    /// In production
    #[arg(long)]
    production: bool,
}

impl Environments {
    /// The named environments.
    pub(in crate::chatops) fn named(self) -> Vec<Name> {
        let is_named = |name: &Name| match name {
            Name::Dev => self.dev,
            Name::Ops => self.ops,
            Name::Pre => self.pre,
            Name::Staging => self.staging,
            Name::StagingRef => self.staging_ref,
            Name::Production => self.production,
        };
        Name::ALL.into_iter().filter(is_named).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Feature {
    /// Show a flag
    Get {
        /// The flag
        name: String,

        /// In all environments
        #[arg(long)]
        all: bool,

        #[command(flatten)]
        environments: Environments,
    },

    /// Set a flag
    Set(Set),

    /// List the flags that are set
    List {
        /// Only those whose name contains this
        #[arg(long = "match", value_name = "TEXT", default_value = "")]
        part: String,

        #[command(flatten)]
        environments: Environments,
    },

    /// Remove a flag as if it had never been set
    Delete(Delete),
}

/// Remove a flag as if it had never been set
#[derive(Args, Debug)]
pub(in crate::chatops) struct Delete {
    /// The flag
    pub(in crate::chatops) name: String,

    /// Even while an incident is declared
    #[arg(long)]
    pub(in crate::chatops) ignore_production_check: bool,

    /// Even if staging and production then differ
    #[arg(long)]
    pub(in crate::chatops) ignore_feature_flag_consistency_check: bool,

    /// Only show what would change
    #[arg(long)]
    pub(in crate::chatops) dry_run: bool,

    #[command(flatten)]
    pub(in crate::chatops) environments: Environments,
}

/// Set a flag: for everybody, for some actors, or for a percentage
#[derive(Args, Debug)]
pub(in crate::chatops) struct Set {
    /// The flag
    pub(in crate::chatops) name: String,

    /// true, false, a percentage from 0 to 100; opt-out to keep it off for some actors however it is turned on, remove-opt-out to
    /// end that
    #[arg(value_parser = value)]
    pub(in crate::chatops) value: Value,

    /// Projects, by path or id, separated by commas
    #[arg(long = "project", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) projects: Vec<String>,

    /// Groups, by path or id
    #[arg(long = "group", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) groups: Vec<String>,

    /// Namespaces of groups or users, by path
    #[arg(long = "namespace", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) namespaces: Vec<String>,

    /// Users, by GitLab user name, or mentioned if they have linked their account
    #[arg(long = "user", value_name = "NAMES", value_delimiter = ',')]
    pub(in crate::chatops) users: Vec<String>,

    /// Registered groups of actors
    #[arg(long = "feature-group", value_name = "NAMES", value_delimiter = ',')]
    pub(in crate::chatops) feature_groups: Vec<String>,

    /// Repositories; not supported, because flags have no repository actors here
    #[arg(long = "repository", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) repositories: Vec<String>,

    /// The percentage applies to actors, always the same ones
    #[arg(long)]
    pub(in crate::chatops) actors: bool,

    /// The percentage applies to the time; deprecated
    #[arg(long)]
    pub(in crate::chatops) random: bool,

    /// Even if the percentage rises by more than half of all actors
    #[arg(long)]
    pub(in crate::chatops) ignore_large_step_check: bool,

    /// Even if the percentage rises by more than half of all actors, but only if it is still this one: what the button says
    #[arg(long, value_name = "PERCENT", hide = true)]
    pub(in crate::chatops) large_step_from: Option<f64>,

    /// Accept --random anyway
    #[arg(long)]
    pub(in crate::chatops) ignore_random_deprecation_check: bool,

    /// Even while an incident is declared
    #[arg(long)]
    pub(in crate::chatops) ignore_production_check: bool,

    /// Even if staging and production then differ
    #[arg(long)]
    pub(in crate::chatops) ignore_feature_flag_consistency_check: bool,

    /// Only show what would change
    #[arg(long)]
    pub(in crate::chatops) dry_run: bool,

    #[command(flatten)]
    pub(in crate::chatops) environments: Environments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chatops) enum Value {
    Enabled(bool),
    Percentage(u8),
    /// The actors are opted out, or no longer.
    OptedOut(bool),
}

fn value(text: &str) -> Result<Value, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(Value::Enabled(true)),
        "false" => Ok(Value::Enabled(false)),
        "opt-out" => Ok(Value::OptedOut(true)),
        "remove-opt-out" => Ok(Value::OptedOut(false)),
        text => match text.parse() {
            Ok(percentage @ 0..=100) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Value::Percentage(percentage))
            }
            _ => Err(
                "use true, false, a whole number from 0 to 100, opt-out or remove-opt-out"
                    .to_owned(),
            ),
        },
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum AutoDeploy {
    /// Show where a commit, or its merge request, is deployed
    Status {
        /// The commit
        sha: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Release {
    /// Show whether a merge request is in a milestone's release
    Check {
        /// The address of the merge request
        merge_request: String,

        /// Such as 15.1
        milestone: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Backfill {
    /// List the last runs
    List(Looked),

    /// Show a run
    Status(Run),

    /// Start a run
    Start {
        /// The job, such as service_accounts
        job: String,

        /// The number of workers
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=64))]
        workers: i32,

        #[command(flatten)]
        environments: Environments,
    },

    /// Pause a run
    Pause(Run),

    /// Resume a run
    Resume(Run),

    /// Retry what a run could not process
    Retry(Run),

    /// Cancel a run
    Cancel(Run),
}

#[derive(Args, Clone, Copy, Debug)]
pub(in crate::chatops) struct Run {
    /// The number of the run
    pub(in crate::chatops) run: i64,

    #[command(flatten)]
    pub(in crate::chatops) environments: Environments,
}

#[derive(Args, Clone, Copy, Debug)]
pub(in crate::chatops) struct Looked {
    #[command(flatten)]
    pub(in crate::chatops) environments: Environments,
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Workers {
    /// List the names, and whether the old ones have drained
    Status(Looked),

    /// Retire the old name of a worker that has drained
    Retire {
        /// The old name
        worker: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Args, Debug)]
pub(in crate::chatops) struct Rollout {
    /// The flag; without it, flags unchanged for two months
    pub(in crate::chatops) name: Option<String>,

    /// Without a flag: only those whose name contains this
    #[arg(
        long = "match",
        value_name = "TEXT",
        default_value = "",
        conflicts_with_all = ["name", "merge_request"]
    )]
    pub(in crate::chatops) part: String,

    /// The address of the merge request with the flag's code, to show where it is deployed
    #[arg(long, value_name = "URL")]
    pub(in crate::chatops) merge_request: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Incident {
    /// Declare an incident
    Declare {
        /// What is wrong
        #[arg(required = true)]
        title: Vec<String>,

        /// From 1 to 4; 1 and 2 block changes
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..=4))]
        severity: i32,

        #[command(flatten)]
        environments: Environments,
    },

    /// Close an incident
    Close {
        /// Its number
        incident: i64,

        #[command(flatten)]
        environments: Environments,
    },

    /// List the open incidents
    List(Looked),
}
