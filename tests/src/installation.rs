//! A private copy of a PostgreSQL installation that holds the extension under test.
//!
//! Installing into the system's directories would hurt a server that runs with the extension loaded, and two test runs
//! would overwrite each other's library. But PostgreSQL finds its directories relative to its own executable, so a
//! tree of the same shape with real copies of the executables (symlinks would be resolved) is an installation.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::account::command;

/// The executables a server consists of.
const EXECUTABLES: [&str; 2] = ["postgres", "initdb"];

/// The directories of a PostgreSQL installation.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    pub(crate) bin: PathBuf,
    library: PathBuf,
    share: PathBuf,
    /// Where `psql` and other client programs are.
    pub(crate) programs: PathBuf,
    /// Where `pg_regress` and `pg_isolation_regress` are.
    pub(crate) test: PathBuf,
}

impl Installation {
    /// The installation that LOCKSTEP_PG_CONFIG names, else Debian's PostgreSQL 15, else the first on the PATH.
    pub(crate) fn of_system() -> Result<Self> {
        let debian = "/usr/lib/postgresql/15/bin/pg_config";
        let pg_config = std::env::var("LOCKSTEP_PG_CONFIG").unwrap_or_else(|_| {
            let found = if Path::new(debian).exists() {
                debian
            } else {
                "pg_config"
            };
            found.to_owned()
        });
        let ask = |what: &str| -> Result<PathBuf> {
            let output = command(&pg_config)
                .arg(what)
                .output()
                .with_context(|| format!("cannot run {pg_config}"))?;
            ensure!(output.status.success(), "{pg_config} {what} failed");
            Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
        };
        let pgxs = ask("--pgxs")?;
        let source = pgxs
            .ancestors()
            .nth(2)
            .context("pg_config --pgxs answers no path")?;
        let bin = ask("--bindir")?;
        Ok(Self {
            programs: bin.clone(),
            bin,
            library: ask("--pkglibdir")?,
            share: ask("--sharedir")?,
            test: source.join("test"),
        })
    }

    /// The extensions' libraries, as `make` built them for this installation.
    pub(crate) fn packaged_libraries(&self) -> Result<[PathBuf; 2]> {
        let directory = package().join(relative(&self.library));
        let libraries = ["lockstep.so", "lockstep_slack.so"].map(|name| directory.join(name));
        for library in &libraries {
            ensure!(
                library.exists(),
                "{} is missing: run make build",
                library.display()
            );
        }
        Ok(libraries)
    }

    /// Mirrors the installation under `tree`, with the extension's packaged files in place of installed ones.
    pub(crate) fn mirror(&self, tree: &Path) -> Result<Self> {
        let mirrored = Self {
            bin: tree.join(relative(&self.bin)),
            library: tree.join(relative(&self.library)),
            share: tree.join(relative(&self.share)),
            programs: self.programs.clone(),
            test: self.test.clone(),
        };
        let extension = mirrored.share.join("extension");
        create_directories(tree, &[&mirrored.bin, &mirrored.library, &extension])?;
        for name in EXECUTABLES {
            copy(&self.bin.join(name), &mirrored.bin.join(name), 0o755)?;
        }
        link_entries(&self.library, &mirrored.library)?;
        link_entries(&self.share, &mirrored.share)?;
        link_entries(&self.share.join("extension"), &extension)?;
        for library in self.packaged_libraries()? {
            if let Some(name) = library.file_name() {
                copy(&library, &mirrored.library.join(name), 0o755)?;
            }
        }
        let packaged = package().join(relative(&self.share)).join("extension");
        for file in entries(&packaged)? {
            if let Some(name) = file.file_name() {
                copy(&file, &extension.join(name), 0o644)?;
            }
        }
        Ok(mirrored)
    }
}

/// Where the extension's files are: those of `make build`, unless a bench names those of the release.
fn package() -> PathBuf {
    std::env::var_os("LOCKSTEP_PACKAGE")
        .map_or_else(|| crate::target().join("quick"), PathBuf::from)
}

/// An absolute path as one below another root.
fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Creates directories below `tree` that every account may enter, whatever the umask.
fn create_directories(tree: &Path, directories: &[&Path]) -> Result<()> {
    for directory in directories {
        fs::create_dir_all(directory)?;
        for part in directory
            .ancestors()
            .take_while(|part| part.starts_with(tree))
        {
            fs::set_permissions(part, Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    read.map(|entry| Ok(entry?.path())).collect()
}

/// Links what is in `from` into `to`, except what `to` has already and the extension itself.
fn link_entries(from: &Path, to: &Path) -> Result<()> {
    for entry in entries(from)? {
        let Some(name) = entry.file_name() else {
            continue;
        };
        let link = to.join(name);
        if !link.exists() && !is_of_extension(&name.to_string_lossy()) {
            symlink(&entry, &link).with_context(|| format!("cannot create {}", link.display()))?;
        }
    }
    Ok(())
}

fn is_of_extension(name: &str) -> bool {
    name == "lockstep.so" || name == "lockstep.control" || name.starts_with("lockstep--")
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode))?;
    Ok(())
}
