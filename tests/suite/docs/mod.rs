//! The documentation is correct: its examples run, its links work, and its reference matches the programs.
//!
//! `make reference` regenerates the reference and the output of examples.

mod examples;
mod links;
mod names;
mod page;
mod pictures;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lockstep_tests::root;

/// If this variable is set, pages are written instead of compared.
const WRITE: &str = "LOCKSTEP_WRITE_DOCS";

fn is_writing() -> bool {
    std::env::var_os(WRITE).is_some()
}

/// Compares a page with its expected text, or writes it.
fn check(path: &Path, text: &str) -> Result<()> {
    let found = fs::read_to_string(path).unwrap_or_default();
    if is_writing() && found != text {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(());
    }
    let different = found
        .lines()
        .zip(text.lines())
        .position(|(one, other)| one != other);
    let place = different.unwrap_or_else(|| found.lines().count().min(text.lines().count()));
    ensure!(
        found == text,
        "{} is not what it should be, from line {}: `{}` should be `{}`. Run make reference, and look at the difference",
        name_of(path),
        place + 1,
        found.lines().nth(place).unwrap_or_default(),
        text.lines().nth(place).unwrap_or_default(),
    );
    Ok(())
}

/// README and the pages of the book, in alphabetical order.
fn pages() -> Result<Vec<PathBuf>> {
    let mut pages = vec![root().join("README.md")];
    collect(&root().join("docs"), &mut pages)?;
    pages.sort();
    Ok(pages)
}

fn collect(directory: &Path, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    Ok(())
}

/// The names of the headings of a page, as links have them.
pub(crate) fn anchors_of(text: &str) -> Vec<String> {
    page::anchors(&page::parts(text))
}

fn name_of(path: &Path) -> String {
    let name = path.strip_prefix(root()).unwrap_or(path);
    name.display().to_string()
}
