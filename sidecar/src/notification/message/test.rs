//! The message that shows whether messages arrive.

use serde::Deserialize;
use serde_json::Value;

use super::draft::Draft;
use super::payload::{Part, Text, read};
use super::phrase::Phrase;
use super::user_text::NAME;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Test {
    integration: Part<Integration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Integration {
    alias: Text,
}

pub(super) fn draft(event: &Value) -> Draft {
    let test: Test = read(event);
    let headline = Phrase::default()
        .marked("👋 ")
        .words("It works: this channel is told what happens in ")
        .link("", &test.integration.alias, NAME, "its projects");
    Draft::new(headline)
}
