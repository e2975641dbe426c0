//! Settings of the spool.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Debug)]
#[command(next_help_heading = "Webhooks of GitLab")]
pub(crate) struct SpoolArguments {
    /// A directory that only this process uses, in which webhooks are kept while the database does not accept them; without
    /// it they get a 503, and GitLab does not send them again
    #[arg(long, value_name = "DIRECTORY", env = "LOCKSTEP_SPOOL")]
    pub(crate) spool: Option<PathBuf>,

    /// The largest size of the spool, in MiB
    #[arg(long, value_name = "MIB", env = "LOCKSTEP_SPOOL_SIZE", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) spool_size: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) directory: PathBuf,
    pub(crate) bytes: u64,
}

impl Settings {
    /// None if no spool is configured.
    pub(crate) fn new(arguments: &SpoolArguments) -> Option<Self> {
        let directory = arguments.spool.clone();
        let directory = directory.filter(|it| !it.as_os_str().is_empty())?;
        Some(Self {
            directory,
            bytes: arguments.spool_size << 20,
        })
    }
}
