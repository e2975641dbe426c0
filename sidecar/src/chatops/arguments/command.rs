//! The commands there are, as they are declared to the parser; what is said of each is its help.

use clap::{Args, Subcommand};

use crate::chatops::environment::Name;

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Command {
    /// Look at feature flags and set them
    #[command(subcommand)]
    Feature(Feature),

    /// Where a commit is deployed
    #[command(subcommand, name = "auto_deploy")]
    AutoDeploy(AutoDeploy),

    /// Whether a merge request is in a release
    #[command(subcommand)]
    Release(Release),

    /// Look at backfills and control them
    #[command(subcommand)]
    Backfill(Backfill),

    /// Look at workers that are renamed, and give up old names
    #[command(subcommand)]
    Workers(Workers),

    /// Count the rows that are not what they should be; reads all of them
    Drift(Looked),

    /// How the rollout of a flag stands, or which flags nobody has changed for two months
    Rollout(Rollout),

    /// Declare and close incidents: one of severity 1 or 2 holds changes of flags in production
    #[command(subcommand)]
    Incident(Incident),
}

/// In which databases; production, if none is named
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Environments (production, if none is named)")]
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
    /// Those that are named.
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
    /// How a flag stands
    Get {
        /// The flag
        name: String,

        #[command(flatten)]
        environments: Environments,
    },

    /// Set a flag
    Set(Set),

    /// The flags that are set
    List {
        /// Only those whose name contains this
        #[arg(long = "match", value_name = "TEXT", default_value = "")]
        part: String,

        #[command(flatten)]
        environments: Environments,
    },

    /// Remove a flag, as if it had never been set
    Delete(Delete),
}

/// Remove a flag, as if it had never been set
#[derive(Args, Debug)]
pub(in crate::chatops) struct Delete {
    /// The flag
    pub(in crate::chatops) name: String,

    /// Also while an incident is declared
    #[arg(long)]
    pub(in crate::chatops) ignore_production_check: bool,

    /// Also if staging and production come to differ
    #[arg(long)]
    pub(in crate::chatops) ignore_feature_flag_consistency_check: bool,

    #[command(flatten)]
    pub(in crate::chatops) environments: Environments,
}

/// Set a flag: for everybody, for some, or for a share
#[derive(Args, Debug)]
pub(in crate::chatops) struct Set {
    /// The flag
    pub(in crate::chatops) name: String,

    /// true, false, or a percentage from 0 to 100
    #[arg(value_parser = value)]
    pub(in crate::chatops) value: Value,

    /// Projects, by path or id, with commas in between
    #[arg(long = "project", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) projects: Vec<String>,

    /// Groups, by path or id
    #[arg(long = "group", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) groups: Vec<String>,

    /// Namespaces of groups or users, by path
    #[arg(long = "namespace", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) namespaces: Vec<String>,

    /// Users, by their name on the host, or mentioned, if they have linked their account
    #[arg(long = "user", value_name = "NAMES", value_delimiter = ',')]
    pub(in crate::chatops) users: Vec<String>,

    /// Groups of actors that are registered there
    #[arg(long = "feature-group", value_name = "NAMES", value_delimiter = ',')]
    pub(in crate::chatops) feature_groups: Vec<String>,

    /// Repositories; not taken, as a flag has no actor for one here
    #[arg(long = "repository", value_name = "PATHS", value_delimiter = ',')]
    pub(in crate::chatops) repositories: Vec<String>,

    /// The percentage is of the actors, always the same ones
    #[arg(long)]
    pub(in crate::chatops) actors: bool,

    /// The percentage is of the time; deprecated
    #[arg(long)]
    pub(in crate::chatops) random: bool,

    /// Take --random nevertheless
    #[arg(long)]
    pub(in crate::chatops) ignore_random_deprecation_check: bool,

    /// Also while an incident is declared
    #[arg(long)]
    pub(in crate::chatops) ignore_production_check: bool,

    /// Also if staging and production come to differ
    #[arg(long)]
    pub(in crate::chatops) ignore_feature_flag_consistency_check: bool,

    #[command(flatten)]
    pub(in crate::chatops) environments: Environments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chatops) enum Value {
    Enabled(bool),
    Percentage(u8),
}

fn value(text: &str) -> Result<Value, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(Value::Enabled(true)),
        "false" => Ok(Value::Enabled(false)),
        text => match text.parse() {
            Ok(percentage @ 0..=100) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Value::Percentage(percentage))
            }
            _ => Err("it is true, false, or a whole number from 0 to 100".to_owned()),
        },
    }
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum AutoDeploy {
    /// Where a commit is deployed, or the merge request that it is of
    Status {
        /// The commit
        sha: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Release {
    /// Whether a merge request is in the release of a milestone
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
    /// The last runs
    List(Looked),

    /// How a run stands
    Status(Run),

    /// Begin a run
    Start {
        /// The job, such as service_accounts
        job: String,

        /// How many work on it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=64))]
        workers: i32,

        #[command(flatten)]
        environments: Environments,
    },

    /// Stop a run for now
    Pause(Run),

    /// Go on with a run
    Resume(Run),

    /// Try again what a run could not do
    Retry(Run),

    /// End a run
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
    /// The names there are, and whether the old ones have drained
    Status(Looked),

    /// Give up the old name of a worker that has drained
    Retire {
        /// The old name
        worker: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Args, Debug)]
pub(in crate::chatops) struct Rollout {
    /// The flag; without it, those that nobody has changed for two months
    pub(in crate::chatops) name: Option<String>,

    /// Without a flag, only those whose name contains this
    #[arg(
        long = "match",
        value_name = "TEXT",
        default_value = "",
        conflicts_with_all = ["name", "merge_request"]
    )]
    pub(in crate::chatops) part: String,

    /// The address of the merge request with the code behind the flag, to see where it is deployed
    #[arg(long, value_name = "URL")]
    pub(in crate::chatops) merge_request: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(in crate::chatops) enum Incident {
    /// Declare one
    Declare {
        /// What is wrong
        #[arg(required = true)]
        title: Vec<String>,

        /// From 1 to 4; those of 1 and 2 hold changes
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..=4))]
        severity: i32,

        #[command(flatten)]
        environments: Environments,
    },

    /// Close one
    Close {
        /// Its number
        incident: i64,

        #[command(flatten)]
        environments: Environments,
    },

    /// Those that are open
    List(Looked),
}
