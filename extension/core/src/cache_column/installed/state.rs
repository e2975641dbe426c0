//! Whether a definition works. It is compared with the current tables, because the application's DDL changes them without notice.

use super::shards::OnShards;
use crate::cache_column::defined::{
    Definition, Flaw, Installed, Resolved, Trigger, installed_on, row_triggers, shared_triggers,
};
use crate::error::{CacheColumnError, Error, HostError, OrRaise, Result, required};
use lockstep_server::host::{Part, Relation};
use lockstep_server::{Statement, connected, datum, with_catalog_path};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// The state of a definition as text, `active` if nothing is wrong. Takes no lock that could wait, except on tables
/// that Citus distributes.
#[pg_extern(sql = r#"
create function lockstep_internal.cache_column_state(definition integer)
returns text stable language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.cache_column_state(integer) is
  'part of lockstep.cache_columns: whether a cache column is maintained: active, or what is wrong; lockstep.attach repairs it or says why it cannot';
"#)]
fn cache_column_state(definition: Option<i32>) -> String {
    let definition = Definition::load(required(definition, "definition")).or_raise();
    examine(&definition).or_raise().words()
}

/// What is wrong with a definition.
pub(super) enum State {
    Active,
    /// A table is gone; which one.
    Dropped(&'static str),
    /// Another table has taken over a name; which one.
    Exchanged(&'static str),
    /// It cannot be maintained with the current tables; why.
    Unfit(String),
    Mendable(Box<Work>),
}

/// What a repair has to do.
pub(super) struct Work {
    pub(super) resolved: Resolved,
    /// Triggers that are missing or wrong, and what is wrong with each.
    pub(super) flawed: Vec<(Trigger, Flaw)>,
    /// Our installed triggers.
    pub(super) installed: Vec<Installed>,
    /// Partitions of source and target that were attached since the last check.
    pub(super) came_to_source: Vec<Part>,
    pub(super) came_to_target: Vec<Part>,
    /// Partitions that were detached, and may have been dropped.
    pub(super) went: Vec<u32>,
}

impl State {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Active => "active".to_owned(),
            Self::Dropped(table) => format!("{table} table dropped"),
            Self::Exchanged(table) => format!("another table has the name of the {table}"),
            Self::Unfit(why) => why.clone(),
            Self::Mendable(work) => {
                let worst = work.flawed.iter().map(|(_, flaw)| *flaw).min();
                worst
                    .map_or("partitions not looked at", Flaw::words)
                    .to_owned()
            }
        }
    }
}

/// Compares a definition with the tables.
pub(super) fn examine(definition: &Definition) -> Result<State> {
    let sides = [
        ("target", definition.target, &definition.target_name),
        ("source", definition.source, &definition.source_name),
    ];
    let mut exchanged = None;
    for (side, oid, name) in sides {
        if holder_of(name)?.is_some_and(|holder| holder.oid != oid) {
            exchanged = exchanged.or(Some(State::Exchanged(side)));
        } else if let Err(error) = Relation::describe(oid)
            && matches!(error.topic(), Some(HostError::NoSuchTable { .. }))
        {
            return Ok(State::Dropped(side));
        }
    }
    if let Some(exchanged) = exchanged {
        return Ok(exchanged);
    }
    let resolved = match definition.clone().resolve() {
        Ok(resolved) => resolved,
        Err(error) => return Ok(State::Unfit(unfit(definition, error)?)),
    };
    if let Err(error) = resolved.check_is_whole() {
        return Ok(State::Unfit(error.message()));
    }
    let work = match work(resolved) {
        Err(error) if matches!(error.topic(), Some(CacheColumnError::ShardsNotSeen { .. })) => {
            return Ok(State::Unfit(error.message()));
        }
        work => work?,
    };
    if !work.flawed.is_empty()
        && let Err(error) = work.resolved.check_trigger_names()
    {
        return Ok(State::Unfit(error.message()));
    }
    if !work.flawed.is_empty() || !work.came().is_empty() || !work.went.is_empty() {
        return Ok(State::Mendable(Box::new(work)));
    }
    // Only now: what is said of an unlogged partition must not keep the triggers of the others from being repaired.
    if let Err(error) = work.resolved.check_lasting() {
        return Ok(State::Unfit(error.message()));
    }
    Ok(match obstacle(&work.resolved) {
        Some(obstacle) => State::Unfit(obstacle),
        None => State::Active,
    })
}

/// The table that has a name now.
pub(super) fn holder_of(name: &[String]) -> Result<Option<Relation>> {
    match name {
        [schema, name] => Relation::find_table(schema, name),
        _ => Ok(None),
    }
}

impl Work {
    pub(super) fn came(&self) -> Vec<u32> {
        let came = self.came_to_source.iter().chain(&self.came_to_target);
        came.map(|part| part.oid).collect()
    }
}

/// Everything that a definition needs and lacks.
pub(super) fn work(resolved: Resolved) -> Result<Work> {
    let definition = &resolved.definition;
    let (source, target) = (&resolved.source, &resolved.target);
    let mut needed = row_triggers(&resolved);
    needed.extend(shared_triggers(source, &Definition::of_table(source.oid)?)?);
    if source.oid != target.oid {
        needed.extend(shared_triggers(target, &Definition::of_table(target.oid)?)?);
    }
    let tables: Vec<u32> = needed.iter().map(|trigger| trigger.table.oid).collect();
    let installed = installed_on(&tables)?;
    let on_shards = OnShards::of(&resolved)?;
    let is_on_shard =
        |trigger: &Trigger| on_shards.as_ref().is_none_or(|shards| shards.has(trigger));
    let flawed = needed
        .into_iter()
        .filter_map(|trigger| {
            let lacks = || (!is_on_shard(&trigger)).then_some(Flaw::MissingOnShard);
            let flaw = trigger.flaw(&installed).or_else(lacks)?;
            Some((trigger, flaw))
        })
        .collect();
    let is_new = |part: &&Part| !definition.partitions.contains(&part.oid);
    let came = |table: &Relation| table.partitions.iter().filter(is_new).cloned().collect();
    let (came_to_source, came_to_target) = (came(source), came(target));
    let present = partitions_of(source, target);
    let recorded = definition.partitions.clone().into_iter();
    let went = recorded.filter(move |part| !present.contains(part));
    Ok(Work {
        flawed,
        installed,
        came_to_source,
        came_to_target,
        went: went.collect(),
        resolved,
    })
}

/// The partitions of both tables, in order.
pub(super) fn partitions_of(source: &Relation, target: &Relation) -> Vec<u32> {
    let parts = source.partitions.iter().chain(&target.partitions);
    let mut parts: Vec<u32> = parts.map(|part| part.oid).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

fn unfit(definition: &Definition, error: Error) -> Result<String> {
    let source = Relation::describe(definition.source)?;
    let target = Relation::describe(definition.target)?;
    Ok(match error.topic() {
        Some(HostError::NoSuchColumn { .. })
            if target.find_column(&definition.target_column).is_none() =>
        {
            "target column missing".to_owned()
        }
        Some(HostError::NoSuchColumn { .. })
            if definition
                .source_columns()
                .any(|name| source.find_column(name).is_none()) =>
        {
            "source column missing".to_owned()
        }
        Some(HostError::InheritanceParent { .. }) => {
            "inheritance children without triggers".to_owned()
        }
        _ => error.message(),
    })
}

/// What keeps the column from being written: a rule that does something else instead of an update.
fn obstacle(resolved: &Resolved) -> Option<String> {
    let query = Statement::new(
        "select 'rule on the target replaces its writes' from pg_rewrite r
          where r.ev_class = any ($1::bigint[]::oid[]) and r.ev_type = '2' and r.is_instead and r.ev_enabled <> 'D'
          limit 1",
        &[pg_sys::INT8ARRAYOID],
    );
    let target = &resolved.target;
    let parts = target.partitions.iter().map(|part| part.oid);
    let tables: Vec<i64> = parts.chain([target.oid]).map(i64::from).collect();
    with_catalog_path(|| connected(|| query.text(&[datum(tables)])))
}
