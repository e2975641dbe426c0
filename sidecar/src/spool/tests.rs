use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Builder, StorageBackend};

use super::store::Store;
use super::{Entry, Found, NotKept, Settings, Spool, look};
use crate::error::Error;

type Tested = Result<(), Box<dyn std::error::Error>>;

const ROOM: u64 = 1 << 20;

/// A directory of a test, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "lockstep-spool-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn open(&self, bytes: u64) -> Result<Arc<Spool>, Error> {
        Spool::open(&Settings {
            directory: self.0.clone(),
            bytes,
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn entry(place: u64, key: &str) -> Entry {
    Entry {
        place,
        project: i64::try_from(place).ok(),
        paths: Some(vec!["group/one".to_owned()]),
        key: key.to_owned(),
        request: Some(format!("webhook {key}")),
        event: "{\"name\":\"\u{1f600}\\u0000\"}".to_owned(),
    }
}

async fn keep(spool: &Spool, entry: &Entry) -> Result<(), NotKept> {
    spool.keep(spool.turn(entry.place), entry).await
}

async fn keys(spool: &Spool) -> Vec<String> {
    let oldest = spool.oldest(100, usize::MAX, &HashSet::new()).await;
    oldest.iter().map(|(_, it)| it.key.clone()).collect()
}

/// Closed in the midst of everything, as by a crash: nothing is told to the file.
async fn close(spool: Arc<Spool>) {
    let weak = Arc::downgrade(&spool.store);
    drop(spool);
    while weak.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_look_changes_nothing_and_finds_what_is_wrong() -> Tested {
    let directory = Directory::new()?;
    let file = directory.0.join("webhooks.redb");
    assert_eq!(look(&directory.0).await, Found::Waiting(0));
    assert!(!file.exists());
    let spool = directory.open(ROOM)?;
    assert_eq!(keep(&spool, &entry(1, "a")).await, Ok(()));
    assert_eq!(look(&directory.0).await, Found::InUse);
    // As a process that is killed leaves it.
    let unclosed = Directory::new()?;
    fs::copy(&file, unclosed.0.join("webhooks.redb"))?;
    close(spool).await;
    let before = fs::read(&file)?;
    assert_eq!(look(&directory.0).await, Found::Waiting(1));
    assert_eq!(fs::read(&file)?, before);
    let mut damaged = before.clone();
    damaged[4096..].fill(0);
    for damage in [&damaged, &b"no spool"[..]] {
        fs::write(&file, damage)?;
        let found = look(&directory.0).await;
        assert!(matches!(found, Found::Corrupt(_)), "{found:?}");
    }
    assert_eq!(look(&unclosed.0).await, Found::Unclosed);
    let repaired = unclosed.open(ROOM)?;
    assert_eq!(keys(&repaired).await, ["a"]);
    Ok(())
}

/// Whoever moves a healthy file away loses what waits in it.
#[tokio::test]
async fn a_file_that_cannot_be_read_is_not_called_corrupt() -> Tested {
    let directory = Directory::new()?;
    fs::create_dir(directory.0.join("webhooks.redb"))?;
    let found = look(&directory.0).await;
    assert!(matches!(found, Found::Unknown(_)), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_kept_is_there_after_the_end() -> Tested {
    let directory = Directory::new()?;
    let spool = directory.open(ROOM)?;
    for (place, key) in [(1, "a"), (2, "b"), (1, "c")] {
        assert_eq!(keep(&spool, &entry(place, key)).await, Ok(()));
    }
    let mode = fs::metadata(directory.0.join("webhooks.redb")).map(|it| it.permissions().mode());
    assert_eq!(mode.ok().map(|mode| mode & 0o777), Some(0o600));
    let busy = directory.open(ROOM).map(drop).map_err(|it| it.report());
    let busy = busy.err().unwrap_or_default();
    assert!(
        busy.contains("another process uses it") && busy.contains("--spool"),
        "{busy}"
    );
    close(spool).await;

    let spool = directory.open(ROOM)?;
    assert_eq!(keys(&spool).await, ["a", "b", "c"]);
    assert!(spool.holds(1) && spool.holds(2) && !spool.holds(3));
    let first = spool.oldest(1, usize::MAX, &HashSet::new()).await;
    assert_eq!(*first[0].1, entry(1, "a"));
    spool.remove(&[first[0].0]).await;
    let next = spool.oldest(100, 1, &HashSet::from([1])).await;
    assert_eq!(next.len(), 1);
    spool.set_aside(next[0].0).await;
    assert!(spool.holds(1) && !spool.holds(2));
    let standing = spool.standing();
    assert_eq!(
        (standing.entries, standing.set_aside, standing.replayed),
        (1, 1, 1)
    );
    close(spool).await;

    // What was set aside waits again, and its place in the order is what it was.
    let spool = directory.open(ROOM)?;
    assert_eq!(keys(&spool).await, ["b", "c"]);
    assert_eq!(spool.standing().bytes, standing.bytes);
    Ok(())
}

#[tokio::test]
async fn later_ones_wait_for_those_that_came_earlier() -> Tested {
    let directory = Directory::new()?;
    let spool = directory.open(ROOM)?;
    let earlier = spool.turn(1);
    let (later, elsewhere) = (entry(1, "later"), entry(2, "elsewhere"));
    assert_eq!(keep(&spool, &later).await, Ok(()));
    assert_eq!(keep(&spool, &elsewhere).await, Ok(()));
    assert_eq!(keys(&spool).await, ["elsewhere"]);
    assert_eq!(spool.keep(earlier, &entry(1, "earlier")).await, Ok(()));
    assert_eq!(keys(&spool).await, ["earlier", "later", "elsewhere"]);
    // One that was stored elsewhere holds up nothing either.
    drop(spool.turn(1));
    assert_eq!(keep(&spool, &entry(1, "last")).await, Ok(()));
    assert_eq!(
        keys(&spool).await,
        ["earlier", "later", "elsewhere", "last"]
    );
    Ok(())
}

#[tokio::test]
async fn what_has_no_room_is_refused_and_room_comes_back() -> Tested {
    let directory = Directory::new()?;
    let one = serde_json::to_vec(&entry(1, "a")).map_or(0, |it| it.len() as u64) + 64;
    let spool = directory.open(2 * one)?;
    assert_eq!(keep(&spool, &entry(1, "a")).await, Ok(()));
    assert_eq!(keep(&spool, &entry(1, "b")).await, Ok(()));
    assert_eq!(keep(&spool, &entry(1, "c")).await, Err(NotKept::Full));
    assert!(spool.standing().is_full);
    let oldest = spool.oldest(1, usize::MAX, &HashSet::new()).await;
    spool.remove(&[oldest[0].0]).await;
    assert_eq!(keep(&spool, &entry(1, "d")).await, Ok(()));
    assert_eq!(keys(&spool).await, ["b", "d"]);
    Ok(())
}

/// Many at the same time are all there, in the order of their turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_keep_their_order() -> Tested {
    let directory = Directory::new()?;
    let spool = directory.open(ROOM)?;
    let keeping: Vec<_> = (0..200)
        .map(|number| {
            let (spool, turn) = (Arc::clone(&spool), spool.turn(7));
            tokio::spawn(async move { spool.keep(turn, &entry(7, &format!("{number:03}"))).await })
        })
        .collect();
    for kept in keeping {
        assert_eq!(kept.await.ok(), Some(Ok(())));
    }
    let oldest = spool.oldest(1000, usize::MAX, &HashSet::new()).await;
    let found: Vec<String> = oldest.iter().map(|(_, it)| it.key.clone()).collect();
    let all: Vec<String> = (0..200).map(|number| format!("{number:03}")).collect();
    assert_eq!(found, all);
    Ok(())
}

#[tokio::test]
async fn a_directory_that_does_not_do_is_told() -> Tested {
    let directory = Directory::new()?;
    let missing = Settings {
        directory: directory.0.join("missing"),
        bytes: ROOM,
    };
    let told = Spool::open(&missing).map(drop).map_err(|it| it.report());
    let told = told.err().unwrap_or_default();
    assert!(
        told.contains("missing") && told.contains("No such file"),
        "{told}"
    );
    // Whoever may do everything may also write there.
    let closed = fs::set_permissions(&directory.0, Permissions::from_mode(0o500));
    assert!(closed.is_ok());
    if fs::write(directory.0.join("try"), "").is_err() {
        let told = directory.open(ROOM).map(drop).map_err(|it| it.report());
        let told = told.err().unwrap_or_default();
        assert!(told.contains("ermission denied"), "{told}");
    }
    let _ = fs::set_permissions(&directory.0, Permissions::from_mode(0o700));
    fs::write(directory.0.join("webhooks.redb"), "no such database")?;
    assert!(directory.open(ROOM).is_err());
    Ok(())
}

/// A disk in memory, which is full when it is told so.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<(Inner, AtomicBool)>);

#[derive(Debug, Default)]
struct Inner(InMemoryBackend);

impl Disk {
    fn check(&self) -> std::io::Result<()> {
        match self.0.1.load(Ordering::Relaxed) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.0.0.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.0.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check()?;
        self.0.0.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.check()?;
        self.0.0.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check()?;
        self.0.0.0.write(offset, data)
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_kept() -> Tested {
    let disk = Disk::default();
    let store = {
        let disk = disk.clone();
        Store::with(Box::new(move || {
            Builder::new().create_with_backend(disk.clone())
        }))
    };
    let store = store?;
    let directory = Directory::new()?;
    let spool = Spool::of(store, ROOM, &directory.0)?;
    assert_eq!(keep(&spool, &entry(1, "a")).await, Ok(()));
    assert!(spool.standing().has_room());
    disk.0.1.store(true, Ordering::Relaxed);
    for key in ["b", "c"] {
        assert_eq!(keep(&spool, &entry(1, key)).await, Err(NotKept::Failed));
        assert!(!spool.standing().has_room());
    }
    disk.0.1.store(false, Ordering::Relaxed);
    assert_eq!(keep(&spool, &entry(1, "d")).await, Ok(()));
    assert!(spool.standing().has_room());
    assert_eq!(keys(&spool).await, ["a", "d"]);
    // What was not kept takes no room.
    let standing = spool.standing();
    assert_eq!(standing.entries, 2);
    let oldest = spool.oldest(9, usize::MAX, &HashSet::new()).await;
    let numbers: Vec<u64> = oldest.iter().map(|(number, _)| *number).collect();
    spool.remove(&numbers).await;
    assert_eq!(spool.standing().bytes, 0);
    assert!(!spool.holds(1));
    // Without webhooks, a file of trial finds the room.
    disk.0.1.store(true, Ordering::Relaxed);
    assert_eq!(keep(&spool, &entry(1, "e")).await, Err(NotKept::Failed));
    fs::create_dir(directory.0.join("trial"))?;
    spool.try_disk().await;
    assert!(spool.standing().is_failing);
    fs::remove_dir(directory.0.join("trial"))?;
    spool.try_disk().await;
    assert!(!spool.standing().is_failing);
    assert_eq!(fs::read_dir(&directory.0)?.count(), 0);
    Ok(())
}
