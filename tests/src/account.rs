//! The operating-system account that the server runs as.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{User, geteuid};

/// The owner of the server's processes: this process's own account, or another one because PostgreSQL refuses root.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    other: Option<(u32, u32)>,
}

impl Account {
    /// Chooses `postgres`, otherwise `nobody`, when this process runs as root.
    pub fn of_server() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name).context("cannot look up accounts")? {
                return Ok(Self {
                    other: Some((user.uid.as_raw(), user.gid.as_raw())),
                });
            }
        }
        bail!(
            "PostgreSQL refuses to run as root and neither postgres nor nobody is an account here"
        );
    }

    /// Changes the owner of `path` to the account.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        if let Some((uid, gid)) = self.other {
            chown(path, Some(uid), Some(gid))
                .with_context(|| format!("cannot give {} away", path.display()))?;
        }
        Ok(())
    }

    /// A command that runs as the account and does not receive the terminal's Ctrl-C: its owner decides when it ends.
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command(program);
        command.current_dir("/").process_group(0);
        if let Some((uid, gid)) = self.other {
            // If no groups are set, the standard library drops root's groups too.
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// A command without the caller's PostgreSQL variables, which would mislead clients.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(&name);
        }
    }
    command
}
