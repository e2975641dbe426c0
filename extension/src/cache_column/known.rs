//! Which table a row trigger fired on.

use crate::error::{CacheColumnError, Result, ServerError};
use crate::host::{self, Relation};
use pgrx::prelude::PgTrigger;

/// The table a trigger fired on: `whole`, or a partition of it, whose columns can have other numbers.
pub(super) fn table_fired_on(trigger: &PgTrigger, whole: &Relation) -> Result<Relation> {
    check_is_row_trigger(trigger)?;
    let table = trigger.relid().map_err(|error| ServerError::Catalog {
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
    Err(CacheColumnError::NotInstalledOn {
        trigger: trigger.name().unwrap_or_default().to_owned(),
        table: relation.qualified_name(),
    }
    .into())
}

/// Anyone may create a trigger on a table of his own with a function of ours.
pub(super) fn check_is_row_trigger(trigger: &PgTrigger) -> Result<()> {
    if trigger.event().fired_for_row() {
        return Ok(());
    }
    Err(CacheColumnError::NotARowTrigger {
        trigger: trigger.name().unwrap_or_default().to_owned(),
    }
    .into())
}
