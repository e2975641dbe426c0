//! Links lead to existing pages and headings, and every page is in the book.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lockstep_tests::root;

use super::page::{Part, anchors, links, parts};
use super::{name_of, pages};

#[test]
fn links_lead_somewhere() -> Result<()> {
    let mut texts = pages()?;
    texts.extend(["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)));
    let mut read: HashMap<PathBuf, Vec<Part>> = HashMap::new();
    for path in &texts {
        read.insert(path.clone(), parts(&fs::read_to_string(path)?));
    }
    let mut broken = Vec::new();
    let mut count = 0;
    for path in &texts {
        for part in &read[path] {
            let Part::Line(number, line) = part else {
                continue;
            };
            for target in links(line) {
                count += 1;
                if !leads_somewhere(path, target, &read) {
                    broken.push(format!("{}:{number}: {target}", name_of(path)));
                }
            }
        }
    }
    ensure!(count > 50, "only {count} links were found");
    ensure!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
    Ok(())
}

/// Links to other sites are not checked.
fn leads_somewhere(from: &Path, target: &str, read: &HashMap<PathBuf, Vec<Part>>) -> bool {
    if target.starts_with("https://") {
        return true;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => from.to_owned(),
        file => normal(&from.with_file_name(file)),
    };
    match read.get(&path) {
        Some(page) => anchor.is_empty() || anchors(page).iter().any(|it| it == anchor),
        // Another file of the repository.
        None => path.exists() && anchor.is_empty(),
    }
}

/// The path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part.as_os_str() == ".." {
            true => {
                normal.pop();
            }
            false => normal.push(part),
        }
    }
    normal
}

#[test]
fn every_page_is_in_the_book() -> Result<()> {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md"))?;
    let listed: Vec<&str> = summary.lines().flat_map(links).collect();
    for page in pages()? {
        let Ok(name) = page.strip_prefix(root().join("docs")) else {
            continue;
        };
        let name = name.to_str().context("a page has an odd name")?;
        ensure!(
            name == "SUMMARY.md" || listed.contains(&name),
            "docs/{name} is not in docs/SUMMARY.md"
        );
    }
    Ok(())
}

#[test]
fn every_picture_is_on_a_page() -> Result<()> {
    let mut shown = Vec::new();
    for page in pages()? {
        let text = fs::read_to_string(&page)?;
        shown.extend(
            text.lines()
                .flat_map(links)
                .map(|it| normal(&page.with_file_name(it))),
        );
    }
    for picture in fs::read_dir(root().join("docs/images"))? {
        let picture = picture?.path();
        ensure!(
            shown.contains(&picture),
            "no page shows {}",
            name_of(&picture)
        );
    }
    Ok(())
}

#[test]
fn readme_can_be_read_in_a_few_minutes() -> Result<()> {
    let lines = fs::read_to_string(root().join("README.md"))?
        .lines()
        .count();
    ensure!(lines <= 150, "README.md has {lines} lines");
    Ok(())
}
