//! Counts of processed rows.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Counts for the rows of a range of keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) scanned: i64,
    pub(crate) updated: i64,
    /// Unresolved rows by reason.
    pub(crate) unresolved: BTreeMap<String, i64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.scanned += other.scanned;
        self.updated += other.updated;
        for (reason, rows) in &other.unresolved {
            *self.unresolved.entry(reason.clone()).or_default() += rows;
        }
    }

    pub(crate) fn unresolved_rows(&self) -> i64 {
        self.unresolved.values().sum()
    }

    /// As stored: an object from reason to number of rows, without reasons that did not occur.
    pub(crate) fn unresolved_json(&self) -> String {
        let occurred = self.unresolved.iter().filter(|(_, rows)| **rows > 0);
        let object: Map<String, Value> = occurred
            .map(|(reason, rows)| (reason.clone(), Value::from(*rows)))
            .collect();
        Value::Object(object).to_string()
    }

    pub(crate) fn unresolved_of_json(text: &str) -> BTreeMap<String, i64> {
        serde_json::from_str(text).unwrap_or_default()
    }
}
