//! Slack adds fields at any time, and leaves out more than it says.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A field of another type than expected is as good as none.
pub(super) fn lenient<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: for<'a> Deserialize<'a> + Default,
    D: Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).unwrap_or_default())
}
