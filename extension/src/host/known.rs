//! What the triggers of this backend have learned of themselves, until a table changes.

use super::watch::generation;
use crate::error::Result;
use pgrx::pg_sys::Oid;
use std::cell::RefCell;

/// One value a trigger. The triggers of several definitions take turns at the rows of one statement, and they are few, so
/// this is a list, not one entry and not a map.
pub(crate) struct Known<T> {
    generation: u64,
    by_trigger: Vec<(Oid, T)>,
}

impl<T: Clone> Known<T> {
    pub(crate) const fn new() -> Self {
        Self {
            generation: 0,
            by_trigger: Vec::new(),
        }
    }

    /// What is known of the trigger, learned now if it is not known or may have changed.
    pub(crate) fn get_or_learn(
        this: &RefCell<Self>,
        trigger: Oid,
        learn: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let generation = generation();
        let known = this.borrow();
        if known.generation == generation
            && let Some((_, value)) = known.by_trigger.iter().find(|(oid, _)| *oid == trigger)
        {
            return Ok(value.clone());
        }
        drop(known);
        let value = learn()?;
        let mut known = this.borrow_mut();
        if known.generation != generation {
            known.by_trigger.clear();
            known.generation = generation;
        }
        known.by_trigger.push((trigger, value.clone()));
        Ok(value)
    }
}
