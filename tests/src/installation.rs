//! A private copy of a PostgreSQL installation with the extension under test.
//!
//! Installing into the system's directories would affect servers that have the extension loaded, and two test runs would
//! overwrite each other's library. But PostgreSQL finds its directories relative to its own executable, so a tree of the same
//! shape with real copies of the executables (symlinks would be resolved) is an installation.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::account::command;

/// The executables of a server, and the one that creates a standby.
const EXECUTABLES: [&str; 3] = ["postgres", "initdb", "pg_basebackup"];

/// The directories of a PostgreSQL installation.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    pub(crate) major: u32,
    pub(crate) bin: PathBuf,
    library: PathBuf,
    share: PathBuf,
    /// The directory of `psql` and other client programs.
    pub(crate) programs: PathBuf,
    /// The directory of `pg_regress` and `pg_isolation_regress`.
    pub(crate) test: PathBuf,
}

impl Installation {
    /// The installation named by LOCKSTEP_PG_CONFIG, otherwise the usual one.
    pub(crate) fn of_system() -> Result<Self> {
        match std::env::var_os("LOCKSTEP_PG_CONFIG") {
            Some(pg_config) => Self::of(Path::new(&pg_config)),
            None => {
                let usual = answer(command(crate::root().join(".ci/pg_config")))?;
                Self::of(Path::new(&usual))
            }
        }
    }

    fn of(pg_config: &Path) -> Result<Self> {
        let ask = |what: &str| -> Result<PathBuf> {
            let mut question = command(pg_config);
            question.arg(what);
            answer(question).map(PathBuf::from)
        };
        let pgxs = ask("--pgxs")?;
        let source = pgxs
            .ancestors()
            .nth(2)
            .context("pg_config --pgxs answers no path")?;
        let bin = ask("--bindir")?;
        let version = ask("--version")?;
        Ok(Self {
            major: major(&version.to_string_lossy()).context("pg_config has no version")?,
            programs: bin.clone(),
            bin,
            library: ask("--pkglibdir")?,
            share: ask("--sharedir")?,
            test: source.join("test"),
        })
    }

    pub(crate) fn has_library(&self, name: &str) -> bool {
        self.library.join(format!("{name}.so")).exists()
    }

    /// Newer installations, from Debian or under target/, for which `make` has built the extensions from the same sources.
    pub(crate) fn newer(&self) -> Result<Vec<Self>> {
        let places = [
            PathBuf::from("/usr/lib/postgresql"),
            crate::target().join("postgres"),
        ];
        let ours = lines_of_scripts(&self.share.join("extension"))?;
        let mut found = Vec::new();
        for place in places.iter().filter(|place| place.exists()) {
            for version in entries(place)? {
                let pg_config = version.join("bin/pg_config");
                if !pg_config.exists() {
                    continue;
                }
                let installation = Self::of(&pg_config)?;
                if installation.major <= self.major || installation.packaged_libraries().is_err() {
                    continue;
                }
                if lines_of_scripts(&installation.packaged_scripts())? == ours {
                    found.push(installation);
                } else {
                    let major = installation.major;
                    eprintln!(
                        "skipped: PostgreSQL {major} has another state of the extension: make build PG={major}"
                    );
                }
            }
        }
        found.sort_by_key(|installation| installation.major);
        Ok(found)
    }

    /// Copies the programs into a mirror: pg_upgrade expects all of them next to the server.
    pub(crate) fn complete(&self) -> Result<()> {
        for program in entries(&self.programs)? {
            let Some(name) = program.file_name() else {
                continue;
            };
            if program.is_file() && !self.bin.join(name).exists() {
                copy(&program, &self.bin.join(name), 0o755)?;
            }
        }
        Ok(())
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

    fn packaged_scripts(&self) -> PathBuf {
        package().join(relative(&self.share)).join("extension")
    }

    /// Mirrors the installation under `tree`, with the extension's packaged files instead of installed ones.
    pub(crate) fn mirror(&self, tree: &Path) -> Result<Self> {
        let mirrored = Self {
            major: self.major,
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
        for file in entries(&self.packaged_scripts())? {
            if let Some(name) = file.file_name() {
                copy(&file, &extension.join(name), 0o644)?;
            }
        }
        Ok(mirrored)
    }
}

/// A command's output.
fn answer(mut command: Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The major version in the output of `pg_config --version`.
fn major(version: &str) -> Option<u32> {
    let number = version.trim_start_matches(|sign: char| !sign.is_ascii_digit());
    number
        .split(|sign: char| !sign.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// The lines of the extensions' install scripts in a directory; their order differs from build to build.
fn lines_of_scripts(directory: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for script in entries(directory)? {
        let name = script.file_name().unwrap_or_default().to_string_lossy();
        if is_of_extension(&name) && name.ends_with(".sql") {
            let text = fs::read_to_string(&script)?;
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort_unstable();
    Ok(lines)
}

/// The directory of the extension's files: those of `make build`, unless a bench names the release's.
fn package() -> PathBuf {
    std::env::var_os("LOCKSTEP_PACKAGE")
        .map_or_else(|| crate::target().join("quick"), PathBuf::from)
}

/// An absolute path below another root.
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

/// Links the entries of `from` into `to`, except existing ones and the extension itself. An installation under target/ may not be
/// reachable for every account, so its files are linked or copied individually.
fn link_entries(from: &Path, to: &Path) -> Result<()> {
    for entry in entries(from)? {
        let Some(name) = entry.file_name() else {
            continue;
        };
        let link = to.join(name);
        if link.exists() || is_of_extension(&name.to_string_lossy()) {
            continue;
        }
        if !from.starts_with(crate::target()) {
            symlink(&entry, &link).with_context(|| format!("cannot create {}", link.display()))?;
        } else if entry.is_dir() {
            create_directories(to, &[&link])?;
            link_entries(&entry, &link)?;
        } else if fs::hard_link(&entry, &link).is_err() {
            fs::copy(&entry, &link).with_context(|| format!("cannot create {}", link.display()))?;
        }
    }
    Ok(())
}

fn is_of_extension(name: &str) -> bool {
    name.starts_with("lockstep")
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode))?;
    Ok(())
}
