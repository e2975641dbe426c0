//! How a spool is, for whoever wants to know before it is used: nothing of it changes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redb::Error;
use tokio::task::spawn_blocking;

use super::entry::Entry;
use super::store::Store;

/// The state of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// So many webhooks wait.
    Waiting(usize),
    /// The program that serves has it open.
    InUse,
    /// The program that had it open was killed. The next one repairs it, or cannot; until then it is unknown what waits.
    Unclosed,
    /// What is wrong with it.
    Corrupt(String),
    /// Why it could not be read. The file itself may be healthy.
    Unknown(String),
}

/// Reads all of it.
pub(crate) async fn look(directory: &Path) -> Found {
    let directory = directory.to_owned();
    let looking = spawn_blocking(move || read(directory));
    // Reading a corrupt file may panic.
    looking
        .await
        .unwrap_or_else(|_| Found::Corrupt("its pages are damaged".to_owned()))
}

fn read(directory: PathBuf) -> Found {
    let (mut waiting, mut unreadable) = (0, 0);
    let read = Store::look(&directory, |bytes| {
        waiting += 1;
        unreadable += usize::from(serde_json::from_slice::<Entry>(bytes).is_err());
    });
    match read {
        Ok(()) if unreadable > 0 => Found::Corrupt(format!(
            "{unreadable} of {waiting} webhooks are no webhooks"
        )),
        Ok(()) => Found::Waiting(waiting),
        Err(Error::Io(error)) if error.kind() == ErrorKind::NotFound => Found::Waiting(0),
        Err(Error::DatabaseAlreadyOpen) => Found::InUse,
        Err(Error::RepairAborted) => Found::Unclosed,
        Err(error) if is_damage(&error) => Found::Corrupt(error.to_string()),
        Err(error) => Found::Unknown(error.to_string()),
    }
}

/// A file that ends too early lacks pages.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Corrupted(_) => true,
        Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof
        ),
        _ => false,
    }
}
