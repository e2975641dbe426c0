//! The options of chatops.

use clap::Args;
use secrecy::SecretString;

use crate::settings::SecretParser;

/// The slash command.
pub(crate) const COMMAND: &str = "/chatops";

/// The slash command /chatops: who may change what in which databases, from Slack; off without an environment
#[derive(Args, Debug)]
#[command(next_help_heading = "Chatops")]
pub(crate) struct Chatops {
    /// An environment and its database, as staging=postgres://...: dev, ops, pre, staging, staging-ref or production. May be
    /// given several times; in the environment variable one per line. Its role must be a member of lockstep_chatops there
    #[arg(long = "environment", value_name = "NAME=URL", env = "LOCKSTEP_ENVIRONMENTS", hide_env_values = true, value_delimiter = '\n', value_parser = SecretParser)]
    pub(crate) environments: Vec<SecretString>,

    /// The workspace of the users and channels below that are given as bare ids, as U0123: an id is only unique within a
    /// workspace. Without it each one names its workspace, as T0123:U0123
    #[arg(
        long = "chatops-team",
        value_name = "TEAM ID",
        env = "LOCKSTEP_CHATOPS_TEAM"
    )]
    pub(crate) team: Option<String>,

    /// A channel in which production may be changed; may be given several times
    #[arg(
        long = "production-channel",
        value_name = "[TEAM ID:]CHANNEL ID",
        env = "LOCKSTEP_PRODUCTION_CHANNELS",
        value_delimiter = ','
    )]
    pub(crate) production_channels: Vec<String>,

    /// A Slack user who may give commands; may be given several times
    #[arg(
        long = "chatops-user",
        value_name = "[TEAM ID:]USER ID",
        env = "LOCKSTEP_CHATOPS_USERS",
        value_delimiter = ','
    )]
    pub(crate) users: Vec<String>,

    /// A GitLab group, by its path, whose members may give commands once they have linked their account with Slack
    #[arg(
        long = "chatops-group",
        value_name = "PATH",
        env = "LOCKSTEP_CHATOPS_GROUP"
    )]
    pub(crate) group: Option<String>,

    /// The channel of a group that owns flags, which is notified when one of its flags changes in production, as
    /// group::integrations=T0123:C0123; may be given several times
    #[arg(
        long = "team-channel",
        value_name = "GROUP=[TEAM ID:]CHANNEL ID",
        env = "LOCKSTEP_TEAM_CHANNELS",
        value_delimiter = ','
    )]
    pub(crate) team_channels: Vec<String>,
}
