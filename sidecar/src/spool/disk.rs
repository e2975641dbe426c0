//! Whether the disk takes anything: the last write tells, and a file of trial after one that failed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::info;

/// As large as a large webhook.
const TRIAL: usize = 64 << 10;

pub(super) struct Disk {
    directory: PathBuf,
    is_failing: AtomicBool,
}

impl Disk {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            is_failing: AtomicBool::new(false),
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, has_worked: bool) {
        let was_failing = self.is_failing.swap(!has_worked, Ordering::Relaxed);
        if was_failing && has_worked {
            info!("the spool can be written again");
        }
    }

    /// Whoever is not ready gets no webhooks, whose writes would show that there is room again.
    pub(super) fn try_again(&self) {
        let path = self.directory.join("trial");
        let tried = write(&path);
        // There may be none.
        let _ = fs::remove_file(&path);
        if tried.is_ok() {
            self.wrote(true);
        }
    }
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&[0; TRIAL])?;
    file.sync_all()
}
