//! The file of the spool: an embedded database that syncs each commit to disk and survives crashes. Only one process can open it.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};

use super::turn::Key;
use crate::error::Error;

/// JSON by place and number.
const WAITING: TableDefinition<Key, &[u8]> = TableDefinition::new("waiting");
const SET_ASIDE: TableDefinition<Key, &[u8]> = TableDefinition::new("set_aside");

const FILE: &str = "webhooks.redb";

/// Entries are read once.
const CACHE: usize = 4 << 20;

/// An error of the file or the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(pub(super) String);

type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) struct Store {
    open: Opener,
    /// None after a failure, which makes the open database unusable.
    database: Mutex<Option<Database>>,
}

impl Store {
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let owned = directory.to_owned();
        Self::with(Box::new(move || open_file(&owned))).map_err(|error| Error::Spool {
            directory: directory.to_owned(),
            reason: match error {
                DatabaseError::DatabaseAlreadyOpen => "another process uses it".to_owned(),
                error => error.to_string(),
            },
        })
    }

    pub(super) fn with(open: Opener) -> Result<Self, DatabaseError> {
        let database = Mutex::new(Some(open()?));
        Ok(Self { open, database })
    }

    /// Shows each entry of a file, which stays as it is: one that has to be repaired first is an error.
    pub(super) fn look(directory: &Path, entry: impl FnMut(&[u8])) -> Result<(), redb::Error> {
        let mut builder = Builder::new();
        let opened = builder
            .set_cache_size(CACHE)
            .open_read_only(directory.join(FILE));
        show(&opened?, entry)
    }

    /// All entries with their sizes; those that were set aside wait again.
    pub(super) fn load(&self) -> Result<Vec<(Key, usize)>, Failure> {
        self.ask(|database| {
            let change = database.begin_write()?;
            let mut found = Vec::new();
            {
                let mut waiting = change.open_table(WAITING)?;
                let mut aside = change.open_table(SET_ASIDE)?;
                while let Some((key, bytes)) = aside.pop_first()? {
                    waiting.insert(key.value(), bytes.value())?;
                }
                for entry in waiting.iter()? {
                    let (key, bytes) = entry?;
                    found.push((key.value(), bytes.value().len()));
                }
            }
            change.commit()?;
            Ok(found)
        })
    }

    /// All or none.
    pub(super) fn keep(&self, keys: &[Key], entries: &[Vec<u8>]) -> Result<(), Failure> {
        self.ask(|database| {
            let change = database.begin_write()?;
            {
                let mut waiting = change.open_table(WAITING)?;
                for (key, bytes) in keys.iter().zip(entries) {
                    waiting.insert(key, bytes.as_slice())?;
                }
            }
            Ok(change.commit()?)
        })
    }

    /// With their numbers.
    pub(super) fn read(&self, keys: &[Key]) -> Result<Vec<(u64, Vec<u8>)>, Failure> {
        self.ask(|database| {
            let waiting = database.begin_read()?.open_table(WAITING)?;
            let mut entries = Vec::new();
            for key in keys {
                if let Some(bytes) = waiting.get(key)? {
                    entries.push((key.1, bytes.value().to_vec()));
                }
            }
            Ok(entries)
        })
    }

    pub(super) fn remove(&self, keys: &[Key]) -> Result<(), Failure> {
        self.ask(|database| {
            let change = database.begin_write()?;
            {
                let mut waiting = change.open_table(WAITING)?;
                for key in keys {
                    waiting.remove(key)?;
                }
            }
            Ok(change.commit()?)
        })
    }

    pub(super) fn set_aside(&self, keys: &[Key]) -> Result<(), Failure> {
        self.ask(|database| {
            let change = database.begin_write()?;
            {
                let mut waiting = change.open_table(WAITING)?;
                let mut aside = change.open_table(SET_ASIDE)?;
                for key in keys {
                    if let Some(bytes) = waiting.remove(key)? {
                        aside.insert(key, bytes.value())?;
                    }
                }
            }
            Ok(change.commit()?)
        })
    }

    /// After a failure, such as a full disk, the file is opened again, in the state of the last commit.
    fn ask<T>(&self, ask: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Failure> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = match &*database {
            Some(database) => ask(database),
            None => (self.open)().map_err(redb::Error::from).and_then(|opened| {
                let opened = database.insert(opened);
                ask(opened)
            }),
        };
        answered.map_err(|error| {
            *database = None;
            Failure(error.to_string())
        })
    }
}

fn show(database: &impl ReadableDatabase, mut entry: impl FnMut(&[u8])) -> Result<(), redb::Error> {
    let reading = database.begin_read()?;
    for table in [WAITING, SET_ASIDE] {
        match reading.open_table(table) {
            Ok(table) => {
                for found in table.iter()? {
                    entry(found?.1.value());
                }
            }
            // Nothing was ever kept.
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Only the owner may read it: webhooks contain titles of confidential issues.
fn open_file(directory: &Path) -> Result<Database, DatabaseError> {
    let path = directory.join(FILE);
    let opened = || -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        // The directory's entry has to survive a crash as well.
        File::open(directory)?.sync_all()?;
        Ok(file)
    };
    let file = opened().map_err(|error| DatabaseError::Storage(error.into()))?;
    Builder::new()
        .set_cache_size(CACHE)
        .create_with_backend(FileBackend::new(file)?)
}
