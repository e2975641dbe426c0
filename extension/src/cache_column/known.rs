//! What the triggers of this backend have learned of themselves, until a table changes.

use crate::error::{Error, Result};
use crate::host::{self, Relation};
use pgrx::pg_sys::Oid;
use pgrx::prelude::PgTrigger;
use std::cell::RefCell;

/// One value a trigger. The triggers of several definitions take turns at the rows of one statement, and they are few, so
/// this is a list, not one entry and not a map.
pub(super) struct Known<T> {
    generation: u64,
    by_trigger: Vec<(Oid, T)>,
}

impl<T: Clone> Known<T> {
    pub(super) const fn new() -> Self {
        Self {
            generation: 0,
            by_trigger: Vec::new(),
        }
    }

    /// What is known of the trigger, learned now if it is not known or may have changed.
    pub(super) fn get_or_learn(
        this: &RefCell<Self>,
        trigger: Oid,
        learn: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let generation = host::generation();
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

/// The table a trigger fired on: `whole`, or a partition of it, whose columns can have other numbers.
pub(super) fn table_fired_on(trigger: &PgTrigger, whole: &Relation) -> Result<Relation> {
    check_is_row_trigger(trigger)?;
    let table = trigger.relid().map_err(|error| Error::Catalog {
        message: error.to_string(),
    })?;
    host::watch(table);
    if table.to_u32() == whole.oid {
        return Ok(whole.clone());
    }
    let relation = Relation::describe(table.to_u32())?;
    if relation.ancestors.contains(&whole.oid) {
        return Ok(relation);
    }
    Err(Error::NotInstalledOn {
        trigger: trigger.name().unwrap_or_default().to_owned(),
        table: relation.qualified_name(),
    })
}

/// Anyone may create a trigger on a table of his own with a function of ours.
pub(super) fn check_is_row_trigger(trigger: &PgTrigger) -> Result<()> {
    if trigger.event().fired_for_row() {
        return Ok(());
    }
    Err(Error::NotARowTrigger {
        trigger: trigger.name().unwrap_or_default().to_owned(),
    })
}
