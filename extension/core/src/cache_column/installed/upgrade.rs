//! Upgrades from earlier versions. The library is replaced before ALTER EXTENSION UPDATE runs.

use super::install::remove;
use super::repair::{Mended, mend};
use crate::cache_column::defined::Definition;
use crate::error::{CacheColumnError, Error, OrRaise, Result};
use pgrx::prelude::*;

/// Installs what definitions lack; the last step of an update script that dropped the old objects.
#[pg_extern(sql = r#"
create function lockstep_internal.mend_cache_columns()
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.mend_cache_columns() is 'part of alter extension lockstep update: installs what cache columns lack';
revoke execute on function lockstep_internal.mend_cache_columns() from public;
"#)]
fn mend_cache_columns() {
    mend_all().or_raise();
}

/// What this version cannot maintain at all is removed: it would make the triggers fail that it shares with other definitions.
fn mend_all() -> Result<()> {
    for definition in Definition::all()? {
        // 0.1.0 kept no names, so all that is known of a table that was dropped is its number.
        let table = match definition.target_name.as_slice() {
            [] => format!("of dropped table {}", definition.target),
            name => format!("of {}", name.join(".")),
        };
        let what = format!("{} {table}", definition.target_column);
        match mend(&definition)? {
            Mended::NothingToDo | Mended::Would(_) | Mended::Done(_) => {}
            Mended::Unfit(why) if definition.clone().resolve().is_err() => {
                remove(&definition)?;
                warning!(
                    "cache column {what} is not maintained: {why}, so its definition was removed"
                );
            }
            Mended::Removed(why) | Mended::Unfit(why) => {
                warning!("cache column {what} is not maintained: {why}");
            }
        }
    }
    Ok(())
}

/// Functions of 0.1.0 that were removed. Their triggers call them until the extension is updated.
#[pg_extern(sql = false)]
fn note_gained() {
    refuse();
}

#[pg_extern(sql = false)]
fn note_lost() {
    refuse();
}

#[pg_extern(sql = false)]
fn cache_column_drift_query() {
    refuse();
}

fn refuse() {
    Err::<(), Error>(CacheColumnError::OldFunction.into()).or_raise();
}
