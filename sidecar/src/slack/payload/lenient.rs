//! Slack adds fields at any time, and omits more than it documents.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A field with an unexpected type counts as missing.
pub(super) fn lenient<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: for<'a> Deserialize<'a> + Default,
    D: Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).unwrap_or_default())
}
