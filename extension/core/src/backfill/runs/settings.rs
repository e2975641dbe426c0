//! How a run treats the rest of the server.

use crate::error::{BackfillError, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The settings that a caller may choose for a run, under these names. Times are in milliseconds.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Rows of the first sub-batch; later sizes follow `target_ms`. 1,000 rows at 20 µs take a fifth of the target.
    pub(crate) sub_batch_size: i32,
    /// The largest sub-batch. 20,000 bounds a worker's memory; 1 processes single rows.
    pub(super) max_sub_batch_size: i32,
    /// The time that a sub-batch should not exceed, which is how long its rows stay locked. 100 ms feels instant to a person; 0
    /// keeps the size constant.
    pub(crate) target_ms: i32,
    /// Pause after each sub-batch. 0 uses all of one core.
    pub(crate) pause_ms: i32,
    /// Rows a worker takes at a time.
    pub(super) range_size: i32,
    /// How long a sub-batch waits for a locked row or table before it releases its own rows and is retried with half as many. 0
    /// waits forever.
    pub(super) lock_timeout_ms: i32,
    /// How long a sub-batch may take before the same happens. 0 means no limit.
    pub(super) statement_timeout_ms: i32,
    /// How often a sub-batch that timed out is retried at its smallest size before it is set aside.
    pub(super) max_attempts: i32,
    /// A run that has set aside this many ranges ends as failed.
    pub(super) max_set_aside: i32,
    /// How long the run holds before it checks again.
    pub(super) hold_ms: i32,
    /// Hold while a vacuum, automatic or manual, works on the table.
    pub(super) hold_for_vacuum: bool,
    /// Hold while a standby lags by this many bytes; 0 means never. 256 MB is a minute at 4 MB/s.
    pub(super) hold_at_replication_lag: i64,
    /// Hold while more WAL files than this wait to be archived; 0 means never. GitLab's own limit is 42 files of 16 MB.
    pub(super) hold_at_wal_files: i32,
    /// Hold after a sub-batch that made another session wait.
    pub(super) hold_for_waiters: bool,
    /// A function without arguments that returns the reason to hold, or null to continue.
    pub(crate) hold_function: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sub_batch_size: 1_000,
            max_sub_batch_size: 20_000,
            target_ms: 100,
            pause_ms: 0,
            range_size: 20_000,
            lock_timeout_ms: 1_000,
            statement_timeout_ms: 15_000,
            max_attempts: 3,
            max_set_aside: 50,
            hold_ms: 5_000,
            hold_for_vacuum: true,
            hold_at_replication_lag: 256 << 20,
            hold_at_wal_files: 42,
            hold_for_waiters: true,
            hold_function: None,
        }
    }
}

/// The type of a setting's values, by its default.
fn kind_of(default: &Value) -> &'static str {
    match default {
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a whole number",
        _ => "a string",
    }
}

impl Settings {
    /// The given settings, and defaults for the others.
    pub(crate) fn given(settings: &Value) -> Result<Self> {
        let defaults = serde_json::to_value(Self::default()).unwrap_or_default();
        let invalid = |reason: String| {
            let known = defaults.as_object().into_iter().flat_map(|it| it.keys());
            BackfillError::Settings {
                reason,
                known: known.cloned().collect(),
            }
        };
        let Some(named) = settings.as_object() else {
            return Err(invalid("they are not a JSON object".to_owned()).into());
        };
        for (name, value) in named {
            let default = defaults.get(name);
            let default = default.ok_or_else(|| invalid(format!("there is no \"{name}\"")))?;
            let alone = serde_json::json!({ name: value });
            serde_json::from_value::<Self>(alone).map_err(|_| {
                invalid(format!(
                    "{name} must be {}, but is {value}",
                    kind_of(default)
                ))
            })?;
        }
        let is_first_size_given = named.contains_key("sub_batch_size");
        let mut settings: Self =
            serde_json::from_value(settings.clone()).map_err(|error| invalid(error.to_string()))?;
        if !is_first_size_given {
            settings.sub_batch_size = settings.first_size_within(settings.max_sub_batch_size);
        }
        settings.check().map_err(invalid)?;
        Ok(settings)
    }

    /// Settings stored with a run, which were checked when they were stored.
    pub(crate) fn stored(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// A copy with some settings changed.
    pub(crate) fn changed(&self, changes: &Value) -> Result<Self> {
        let mut all = serde_json::to_value(self).unwrap_or_default();
        match (all.as_object_mut(), changes.as_object()) {
            (Some(all), Some(changes)) => {
                all.extend(
                    changes
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone())),
                );
                let most = changes
                    .get("max_sub_batch_size")
                    .and_then(|most| i32::try_from(most.as_i64()?).ok());
                if let Some(most) = most
                    && !changes.contains_key("sub_batch_size")
                {
                    let first = self.first_size_within(most);
                    all.insert("sub_batch_size".to_owned(), first.into());
                }
            }
            _ => return Self::given(changes),
        }
        Self::given(&all)
    }

    /// A caller who only names the largest size means the first one, too.
    fn first_size_within(&self, most: i32) -> i32 {
        self.sub_batch_size.min(most.max(1))
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_value(self).unwrap_or_default().to_string()
    }

    fn check(&self) -> Result<(), String> {
        let at_least = |name: &str, value: i64, least: i64| match value < least {
            true => Err(format!("{name} must be at least {least}, but is {value}")),
            false => Ok(()),
        };
        at_least("sub_batch_size", self.sub_batch_size.into(), 1)?;
        at_least("max_sub_batch_size", self.max_sub_batch_size.into(), 1)?;
        at_least("target_ms", self.target_ms.into(), 0)?;
        at_least("pause_ms", self.pause_ms.into(), 0)?;
        at_least("range_size", self.range_size.into(), 1)?;
        at_least("lock_timeout_ms", self.lock_timeout_ms.into(), 0)?;
        at_least("statement_timeout_ms", self.statement_timeout_ms.into(), 0)?;
        at_least("max_attempts", self.max_attempts.into(), 1)?;
        at_least("max_set_aside", self.max_set_aside.into(), 1)?;
        at_least("hold_ms", self.hold_ms.into(), 1)?;
        at_least("hold_at_replication_lag", self.hold_at_replication_lag, 0)?;
        at_least("hold_at_wal_files", self.hold_at_wal_files.into(), 0)?;
        if self.sub_batch_size > self.max_sub_batch_size {
            return Err(format!(
                "sub_batch_size is {}, more than max_sub_batch_size, which is {}",
                self.sub_batch_size, self.max_sub_batch_size
            ));
        }
        Ok(())
    }
}
