//! Generates the reference from the catalog, the sidecar's help, and the errors and counters in the sources.

mod command_line;
mod errors;
mod functions;
mod metrics;
mod relations;
mod settings;

use std::path::PathBuf;

use anyhow::Result;
use lockstep_tests::host::Layout;
use lockstep_tests::root;
use postgres::Client;

use crate::database::with_slack;

fn page(name: &str) -> PathBuf {
    root().join("docs/reference").join(name)
}

/// A database with both extensions.
fn database(name: &str) -> Result<Client> {
    with_slack(name, Layout::Narrow)
}

/// Text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A catalog comment as a sentence.
fn sentence(comment: &str) -> String {
    let mut letters = comment.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    let mut text: String = first.into_iter().flatten().chain(letters).collect();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}
