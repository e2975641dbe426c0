//! Runs PostgreSQL's own test drivers, `pg_regress` and `pg_isolation_regress`, against a cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::account::command;
use crate::cluster::{Cluster, PORT, SUPERUSER};

/// Which driver: plain SQL scripts, or specs of concurrent sessions.
#[derive(Clone, Copy, Debug)]
pub enum Driver {
    /// `pg_regress` with tests/regress/{sql,expected}.
    Regress,
    /// `pg_isolation_regress` with tests/isolation/{specs,expected}.
    Isolation,
}

impl Driver {
    fn name(self) -> &'static str {
        match self {
            Self::Regress => "regress",
            Self::Isolation => "isolation",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Regress => "regress/pg_regress",
            Self::Isolation => "isolation/pg_isolation_regress",
        }
    }

    fn input(self) -> &'static str {
        match self {
            Self::Regress => "sql",
            Self::Isolation => "specs",
        }
    }

    /// The names of all tests in alphabetical order, in which `run` runs them.
    pub fn tests(self) -> Result<Vec<String>> {
        let directory = crate::root()
            .join("tests")
            .join(self.name())
            .join(self.input());
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory)
            .with_context(|| format!("cannot read {}", directory.display()))?
        {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "sql" || extension == "spec")
            {
                names.extend(
                    path.file_stem()
                        .map(|stem| stem.to_string_lossy().into_owned()),
                );
            }
        }
        names.sort();
        Ok(names)
    }

    /// Runs the tests one after another in an existing database. Their output stays in target/regress or target/isolation; an
    /// error contains the differences from the expected output.
    pub fn run(self, cluster: &Cluster, database: &str, tests: &[String]) -> Result<()> {
        if tests.is_empty() {
            bail!("no {} tests to run", self.name());
        }
        let input = crate::root().join("tests").join(self.name());
        let output = crate::target().join(self.name());
        fs::create_dir_all(&output)?;
        let differences = output.join("regression.diffs");
        fs::remove_file(&differences).ok();
        let result = command(cluster.test_programs().join(self.program()))
            .args([
                "--use-existing",
                "--port",
                &PORT.to_string(),
                "--user",
                SUPERUSER,
            ])
            .args(["--dbname", database, "--host"])
            .arg(cluster.socket())
            .arg(option("--bindir", cluster.programs()))
            .arg(option("--inputdir", &input))
            .arg(option("--outputdir", &output))
            .args(tests)
            .current_dir(&output)
            .output()
            .with_context(|| format!("cannot run {}", self.program()))?;
        if result.status.success() {
            return Ok(());
        }
        let text = fs::read_to_string(&differences).unwrap_or_default();
        bail!(
            "{} failed: {}\n{}{}{text}",
            self.program(),
            result.status,
            String::from_utf8_lossy(&result.stdout),
            String::from_utf8_lossy(&result.stderr),
        )
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
