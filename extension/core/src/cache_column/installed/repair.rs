//! Repairs a definition that the application's DDL has broken.

use super::install::{add, clear, give_back, put_up, remove, strip, take_down, update};
use super::state::{State, Work, examine, holder_of, partitions_of, work};
use crate::cache_column::defined::{Definition, Flaw, Resolved};
use crate::cache_column::kept::{look_at_all, look_at_part_of_source, look_at_part_of_target};
use crate::error::Result;
use lockstep_server::Rights;
use lockstep_server::host::{Relation, change, check_is_owner, locks};
use std::collections::BTreeMap;

/// The outcome of a repair.
pub(super) enum Mended {
    NothingToDo,
    /// What a dry run would do.
    Would(String),
    /// What was done.
    Done(String),
    /// Its table is gone, so the definition was removed.
    Removed(String),
    /// Why it cannot be maintained.
    Unfit(String),
}

/// Repairs the definition. Rows are checked only where a partition was attached or detached; rows written while triggers were
/// missing or disabled are left to lockstep.repair_cache_column.
pub(super) fn mend(definition: &Definition) -> Result<Mended> {
    let state = examine(definition)?;
    let words = state.words();
    match state {
        State::Active => {
            let [target, source] = [definition.target, definition.source].map(Relation::describe);
            keep_names(definition, &target?, &source?)?;
            Ok(Mended::NothingToDo)
        }
        State::Unfit(why) => Ok(Mended::Unfit(why)),
        State::Dropped(_) => {
            remove(definition)?;
            Ok(Mended::Removed(format!(
                "{words}, so its definition was removed"
            )))
        }
        State::Exchanged(_) => move_to_names(definition),
        State::Mendable(work) => {
            let is_wrong = work
                .flawed
                .iter()
                .any(|(_, flaw)| *flaw < Flaw::MissingOnPart);
            mend_tables(*work)?;
            let repair = match is_wrong {
                true => "; rows written meanwhile are for lockstep.repair_cache_column",
                false => "",
            };
            Ok(Mended::Done(format!("{words}{repair}")))
        }
    }
}

/// Writes the names that both tables have now, so that others which have got the former ones since do not count.
pub(super) fn keep_names(
    definition: &Definition,
    target: &Relation,
    source: &Relation,
) -> Result<()> {
    let named = definition.named_as(target, source);
    match named.has_other_names(definition) {
        true => update(&named),
        false => Ok(()),
    }
}

/// What [`mend`] would do.
pub(super) fn would_mend(definition: &Definition, tables: &[&Relation]) -> Result<Mended> {
    let state = examine(definition)?;
    let words = state.words();
    Ok(match state {
        State::Active => Mended::NothingToDo,
        State::Unfit(why) => Mended::Unfit(why),
        State::Dropped(_) => Mended::Would(format!("removes the definition: {words}")),
        State::Exchanged(_) | State::Mendable(_) => {
            Mended::Would(format!("{words}; {}", locks(tables.iter().copied())))
        }
    })
}

fn mend_tables(found: Work) -> Result<()> {
    check_is_owner(&found.resolved.target)?;
    check_is_owner(&found.resolved.source)?;
    // Only tables that get a trigger, in a fixed order; for a partitioned table without its partitions.
    let tables: BTreeMap<u32, _> = found
        .flawed
        .iter()
        .map(|(trigger, _)| (trigger.table.oid, &trigger.table))
        .collect();
    for table in tables.values() {
        let name = &table.name;
        change(
            &Rights::of(table.owner, name),
            &format!("lock table only {name} in share row exclusive mode"),
        )?;
    }
    // Another session may have been faster.
    let work = work(Definition::load(found.resolved.definition.id)?.resolve()?)?;
    put_up(&work.flawed, &work.installed)?;
    let Resolved { target, source, .. } = &work.resolved;
    let mut definition = work.resolved.definition.named_as(target, source);
    for part in work
        .came_to_source
        .iter()
        .filter(|part| !part.is_partitioned)
    {
        look_at_part_of_source(definition.id, part)?;
    }
    for part in work
        .came_to_target
        .iter()
        .filter(|part| !part.is_partitioned)
    {
        look_at_part_of_target(definition.id, part)?;
    }
    if !work.went.is_empty() {
        look_at_all(definition.id)?;
    }
    for part in work.went {
        clear(part)?;
    }
    definition.partitions = partitions_of(source, target);
    update(&definition)
}

/// Moves the definition to the tables that have the names now.
fn move_to_names(definition: &Definition) -> Result<Mended> {
    let now = |oid: u32, name: &[String]| match holder_of(name)? {
        Some(holder) => Ok(holder),
        None => Relation::describe(oid),
    };
    let target = now(definition.target, &definition.target_name)?;
    let source = now(definition.source, &definition.source_name)?;
    let moved = Definition {
        target: target.oid,
        source: source.oid,
        ..definition.clone()
    };
    move_to(definition, moved, &target, &source)
}

/// Replaces a definition by `moved`, which refers to these tables.
pub(super) fn move_to(
    definition: &Definition,
    mut moved: Definition,
    target: &Relation,
    source: &Relation,
) -> Result<Mended> {
    check_is_owner(target)?;
    check_is_owner(source)?;
    let has_one = target.oid != definition.target
        && Definition::of_column(target.oid, &definition.target_column)?.is_some();
    let fits = |it: Definition| it.resolve()?.check_fits();
    if !has_one && let Err(error) = fits(moved.clone()) {
        return Ok(Mended::Unfit(error.message()));
    }
    take_down(definition)?;
    // A restore may have brought triggers with the number that the definition had.
    clear(target.oid)?;
    clear(source.oid)?;
    let parts = source.partitions.iter().chain(&target.partitions);
    for part in parts.filter(|part| [definition.source, definition.target].contains(&part.oid)) {
        strip(part)?;
    }
    // The application triggers stay disabled on a table that keeps its definition, and on one that was restored in its place.
    let is_same = source.oid == definition.source || Relation::describe(definition.source).is_err();
    (moved.disabled_triggers, moved.always_triggers) = match is_same && !has_one {
        true => (
            definition.disabled_triggers.clone(),
            definition.always_triggers.clone(),
        ),
        false => {
            give_back(definition)?;
            Default::default()
        }
    };
    let (target, source) = (target.qualified_name(), source.qualified_name());
    if has_one {
        return Ok(Mended::Removed(format!("{target} has one of its own")));
    }
    add(moved)?;
    Ok(Mended::Done(format!(
        "now maintained on {target} from {source}; call lockstep.repair_cache_column for rows written in the meantime"
    )))
}
