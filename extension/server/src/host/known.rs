//! A cache of what this backend knows about tables, triggers and definitions, valid until a table changes.

use super::watch::generation;
use crate::error::Result;
use std::cell::RefCell;

/// One value per key, such as the OID of a trigger. A statement's rows alternate between the triggers of a few definitions, so
/// this is a short list rather than a single entry or a map.
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

    /// The cached value of the key, computed if it is missing or may be stale.
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
