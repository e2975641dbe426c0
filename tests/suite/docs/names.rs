//! Names on the pages exist: objects in the schema lockstep, environment variables, metrics.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use lockstep_tests::host::Layout;
use lockstep_tests::root;

use super::{name_of, pages};
use crate::database::with_slack;

const SCHEMAS: [&str; 3] = ["lockstep.", "lockstep_api.", "lockstep_internal."];

#[test]
fn pages_name_what_exists() -> Result<()> {
    let mut client = with_slack("docs_names", Layout::Narrow)?;
    let rows = client.query(
        "select pronamespace::regnamespace || '.' || proname from pg_proc where pronamespace::regnamespace::text ~ '^lockstep'
         union select relnamespace::regnamespace || '.' || relname from pg_class where relnamespace::regnamespace::text ~ '^lockstep'",
        &[],
    )?;
    let objects: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let reference = ["settings.md", "metrics.md"]
        .map(|name| fs::read_to_string(root().join("docs/reference").join(name)));
    let [settings, metrics] = reference;
    let (settings, metrics) = (settings?, metrics?);
    let mut unknown = Vec::new();
    let mut count = 0;
    for path in pages()? {
        if path.starts_with(root().join("docs/reference")) {
            continue;
        }
        for (place, line) in fs::read_to_string(&path)?.lines().enumerate() {
            let (known, settings) = (&objects, &settings);
            let objects_of_line = SCHEMAS.iter().flat_map(|schema| {
                words_after(line, schema).map(move |name| {
                    let object = format!("{schema}{name}");
                    let is_setting = settings.contains(&format!("`{object}`"));
                    let is_known = known.contains(&object) || is_setting || name.is_empty();
                    (object, is_known)
                })
            });
            let variables = words_after(line, "LOCKSTEP_").map(|name| {
                let name = format!("LOCKSTEP_{name}");
                let is_known = settings.contains(&format!("`{}`", name.trim_end_matches("_FILE")));
                (name, is_known)
            });
            let counters = words_after(line, "lockstep_")
                .filter(|name| name.ends_with("_total") || name.ends_with("_seconds"))
                .map(|name| {
                    let name = format!("lockstep_{name}");
                    let is_known = metrics.contains(&format!("`{name}`"));
                    (name, is_known)
                });
            for (name, is_known) in objects_of_line.chain(variables).chain(counters) {
                count += 1;
                if !is_known {
                    unknown.push(format!("{}:{}: {name}", name_of(&path), place + 1));
                }
            }
        }
    }
    ensure!(count > 100, "only {count} names were found");
    ensure!(unknown.is_empty(), "unknown names:\n{}", unknown.join("\n"));
    Ok(())
}

/// The rest of each word that starts with this.
fn words_after<'a>(line: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    let starts = line.match_indices(start).filter(move |(at, _)| {
        let before = line[..*at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "_./-".contains(letter))
    });
    starts.map(move |(at, _)| {
        let rest = &line[at + start.len()..];
        let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        &rest[..end.unwrap_or(rest.len())]
    })
}
