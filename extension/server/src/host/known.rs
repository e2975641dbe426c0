//! What this backend has learned of the tables, of its triggers and of definitions, until a table changes.

use super::watch::generation;
use crate::error::Result;
use std::cell::RefCell;

/// One value a key, such as the OID of a trigger. The triggers of several definitions take turns at the rows of one statement,
/// and they are few, so this is a list, not one entry and not a map.
pub struct Known<K, T> {
    generation: u64,
    learned: Vec<(K, T)>,
}

impl<K: PartialEq, T: Clone> Known<K, T> {
    #[expect(clippy::new_without_default, reason = "it is kept in statics alone")]
    pub const fn new() -> Self {
        Self {
            generation: 0,
            learned: Vec::new(),
        }
    }

    /// What is known under the key, learned now if it is not known or may have changed.
    pub fn get_or_learn(
        this: &RefCell<Self>,
        key: K,
        learn: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let generation = generation();
        let known = this.borrow();
        if known.generation == generation
            && let Some((_, value)) = known.learned.iter().find(|(known, _)| *known == key)
        {
            return Ok(value.clone());
        }
        drop(known);
        let value = learn()?;
        let mut known = this.borrow_mut();
        if known.generation != generation {
            known.learned.clear();
            known.generation = generation;
        }
        known.learned.push((key, value.clone()));
        Ok(value)
    }
}
