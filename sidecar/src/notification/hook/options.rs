//! The options of webhooks.

use clap::Args;
use secrecy::SecretString;

use crate::settings::SecretParser;

/// How GitLab's webhooks authenticate; without any, none is accepted
#[derive(Args, Debug)]
#[command(next_help_heading = "Webhooks of GitLab")]
pub(crate) struct Hooks {
    /// The secret token of a webhook that reports every project, which GitLab sends along. Whoever knows it can report any
    /// project: use it for a webhook that only administrators can see, never for those of projects
    #[arg(long, value_name = "TOKEN", env = "LOCKSTEP_GITLAB_TOKEN", hide_env_values = true, value_parser = SecretParser)]
    pub(crate) gitlab_token: Option<SecretString>,

    /// The secret token of the webhooks of one group or project, which can report its projects only; several are given one
    /// each, or separated by commas, which no token may have
    #[arg(long = "gitlab-token-of", value_name = "PATH=TOKEN", env = "LOCKSTEP_GITLAB_TOKENS_OF", hide_env_values = true, value_delimiter = ',', value_parser = SecretParser)]
    pub(crate) gitlab_tokens_of: Vec<SecretString>,

    /// The signing token, whsec_..., of a webhook that reports every project, with which GitLab signs
    #[arg(long, value_name = "TOKEN", env = "LOCKSTEP_GITLAB_SIGNING_TOKEN", hide_env_values = true, value_parser = SecretParser)]
    pub(crate) gitlab_signing_token: Option<SecretString>,

    /// The signing token of a webhook of one group or project, which can report its projects only; several are given
    /// one each, or separated by commas
    #[arg(long = "gitlab-signing-token-of", value_name = "PATH=TOKEN", env = "LOCKSTEP_GITLAB_SIGNING_TOKENS_OF", hide_env_values = true, value_delimiter = ',', value_parser = SecretParser)]
    pub(crate) gitlab_signing_tokens_of: Vec<SecretString>,
}
