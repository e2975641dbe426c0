//! The directory of one cluster: its lock, its private installation, its data and its socket.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::account::{Account, command};
use crate::installation::Installation;

/// The longest path of a socket that Linux accepts.
const SOCKET_PATH_MAX: usize = 107;

/// A cluster's directory. It is `target/pg/<purpose>.<number>`, or a symlink from there to a directory under /var/tmp if the
/// server's account cannot enter the former or the socket's path would be too long.
#[derive(Debug)]
pub(crate) struct Home {
    link: PathBuf,
    path: PathBuf,
    pub(crate) installation: Installation,
    /// Held as long as this process lives; tests/sweep ignores the cluster while it is held.
    _lock: File,
}

impl Home {
    /// Creates the directory with everything but the data in it.
    pub(crate) fn create(purpose: &str, account: Account) -> Result<Self> {
        sweep()?;
        let clusters = clusters()?;
        let system = Installation::of_system()?;
        system.packaged_libraries()?;
        // A sweep between creating a directory and locking it would take it for an abandoned one.
        let sweep_lock = File::create(clusters.join(".sweep"))?;
        sweep_lock.lock()?;
        let link = create_numbered(&clusters.join(purpose))?;
        let inside = Self::prepare(&link, &link, &system, account);
        let outside = inside.or_else(|reason| -> Result<Self> {
            fs::remove_dir_all(&link)?;
            let path = create_numbered(Path::new("/var/tmp/lockstep"))?;
            symlink(&path, &link)?;
            Self::prepare(&link, &path, &system, account).with_context(|| {
                format!(
                    "no place for a server, neither under target/pg ({reason:#}) nor under /var/tmp"
                )
            })
        });
        outside.inspect_err(|_| discard(&link))
    }

    fn prepare(link: &Path, path: &Path, system: &Installation, account: Account) -> Result<Self> {
        let socket = path.join("socket");
        let length = socket.join(".s.PGSQL.5432.lock").as_os_str().len();
        ensure!(
            length <= SOCKET_PATH_MAX,
            "the path of the socket has {length} bytes"
        );
        fs::set_permissions(path, Permissions::from_mode(0o711))?;
        let lock = File::create(path.join("lock"))?;
        lock.lock()?;
        for directory in [&socket, &path.join("data")] {
            DirBuilder::new().mode(0o700).create(directory)?;
            account.own(directory)?;
        }
        let installation = system.mirror(&path.join("installation"))?;
        let postgres = installation.bin.join("postgres");
        symlink(&postgres, path.join("postgres"))?;
        let probe = account
            .command(&postgres)
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        match probe {
            Ok(status) if status.success() => {}
            Ok(status) => bail!("{} --version: {status}", postgres.display()),
            Err(error) => bail!(
                "the server's account cannot run {}: {error}",
                postgres.display()
            ),
        }
        Ok(Self {
            link: link.to_owned(),
            path: path.to_owned(),
            installation,
            _lock: lock,
        })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Every account may read what is directly in here.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the socket; only the server's account and root may enter it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("socket")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        discard(&self.link);
    }
}

/// The directory of all clusters.
pub(crate) fn clusters() -> Result<PathBuf> {
    let clusters = crate::target().join("pg");
    fs::create_dir_all(&clusters)
        .with_context(|| format!("cannot create {}", clusters.display()))?;
    Ok(clusters)
}

/// The script that stops servers whose owner is gone.
pub(crate) fn sweep_script() -> PathBuf {
    crate::root().join("tests/sweep")
}

fn sweep() -> Result<()> {
    let status = command(sweep_script())
        .status()
        .context("cannot run tests/sweep")?;
    ensure!(status.success(), "tests/sweep failed: {status}");
    Ok(())
}

/// Creates the first free directory of `<stem>.1`, `<stem>.2`, ... atomically, so that two runs never share one.
fn create_numbered(stem: &Path) -> Result<PathBuf> {
    for number in 1_u32.. {
        let path = PathBuf::from(format!("{}.{number}", stem.display()));
        match DirBuilder::new().mode(0o711).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot create {}", path.display()));
            }
        }
    }
    bail!("no free number for {}", stem.display())
}

/// Removes a cluster's directory and the target of its link. What cannot be removed is left to the next sweep.
fn discard(link: &Path) {
    if let Ok(path) = fs::read_link(link) {
        fs::remove_dir_all(path).ok();
        fs::remove_file(link).ok();
    } else {
        fs::remove_dir_all(link).ok();
    }
}
