//! Before the extension is dropped. Citus drops it on other servers as well, in a session of the caller, which would wait for locks of
//! a session of the owner: so what it distributes is changed as the caller, who owns the extension.

use super::install::give_back_by;
use crate::cache_column::defined::{Definition, Installed, installed_on};
use crate::error::Result;
use lockstep_server::host::{change, run};
use lockstep_server::{Rights, manages};

/// Enables all application triggers that were disabled; returns their names.
pub(crate) fn give_back_all() -> Result<Vec<String>> {
    let mut enabled = Vec::new();
    for definition in Definition::all()? {
        enabled.extend(match manages(definition.source) {
            true => give_back_by(&definition, &as_caller)?,
            false => give_back_by(&definition, &change)?,
        });
    }
    Ok(enabled)
}

/// Drops our triggers on tables that Citus distributes: it refuses such that are dropped with the extension.
pub(crate) fn take_down_from_shards() -> Result<()> {
    let all = Definition::all()?;
    let tables = all.iter().flat_map(|it| [it.source, it.target]);
    let mut tables: Vec<u32> = tables.filter(|table| manages(*table)).collect();
    tables.sort_unstable();
    tables.dedup();
    let drop = |it: &Installed| it.drop_by(&as_caller);
    installed_on(&tables)?.iter().try_for_each(drop)
}

fn as_caller(_owner: &Rights, statement: &str) -> Result<()> {
    run(statement)
}
