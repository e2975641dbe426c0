//! The pages that statements read.

use anyhow::Result;
use postgres::{Client, GenericClient, SimpleQueryMessage};
use serde_json::Value;

/// The pages that a statement reads; what it does stays done.
pub(crate) fn pages(client: &mut impl GenericClient, statement: &str) -> Result<i64> {
    let lines = client.simple_query(&format!(
        "explain (analyze, buffers, format json) {statement}"
    ))?;
    let text: String = lines
        .iter()
        .filter_map(|line| match line {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    let plan: Value = serde_json::from_str(&text)?;
    let read = |key: &str| plan[0]["Plan"][key].as_i64().unwrap_or_default();
    Ok(read("Shared Hit Blocks") + read("Shared Read Blocks"))
}

/// The fewest pages that the statement reads, undone each time. Whatever else goes on in the server makes it read more: autovacuum's
/// ANALYZE and another database's DDL have the session read its catalogs again.
pub(crate) fn fewest_pages(client: &mut Client, statement: &str) -> Result<i64> {
    let mut fewest = i64::MAX;
    for _ in 0..5 {
        client.batch_execute("begin")?;
        fewest = fewest.min(pages(client, statement)?);
        client.batch_execute("rollback")?;
    }
    Ok(fewest)
}
