//! How flags stand, as values that chatops tells people in Slack.

use super::definition::{self, Definition};
use super::gates::{Gates, OPT_OUT};
use super::tables::Tables;
use crate::error::Result;
use lockstep_server::View;
use lockstep_server::lock::{self, Kind};
use pgrx::pg_sys;
use serde_json::{Value, json};

/// Runs `work` with the rights of the owner of the tables of flags.
pub(crate) fn as_flags_owner<R>(schema: &str, work: impl FnOnce() -> Result<R>) -> Result<R> {
    Tables::of_schema(schema)?.as_owner(work)
}

/// Waits until no other transaction holds a flag, and holds it until this one ends. Of two environments that are one database each
/// has its own.
pub(crate) fn hold(name: &str, environment: &str, schema: &str) -> Result<()> {
    super::check_name(name)?;
    let tables = Tables::of_schema(schema)?;
    let mut hash = crc32fast::Hasher::new();
    hash.update(environment.as_bytes());
    hash.update(&[0]);
    hash.update(name.as_bytes());
    let mode = pg_sys::ExclusiveLock;
    lock::take(Kind::Flag, tables.features.oid, hash.finalize(), mode);
    Ok(())
}

/// How a flag stands now; one that nobody has set has its default.
pub(crate) fn standing(name: &str, schema: &str) -> Result<Value> {
    super::check_name(name)?;
    let tables = Tables::of_schema(schema)?;
    let gates = Gates::read(name, Some(&tables), View::Newest)?;
    let definitions = definition::all()?;
    let definition = definitions.iter().find(|it| it.name == name);
    Ok(value(name, &gates, definition))
}

/// Those that are set whose name contains a text, whatever its case; by name.
pub(crate) fn standings(part: &str, schema: &str) -> Result<Vec<Value>> {
    let tables = Tables::of_schema(schema)?;
    let mut names = Vec::new();
    tables.rows(&tables.all, View::Own, &[], |row| {
        names.extend(row.get::<String>(1));
    });
    let definitions = definition::all()?;
    let part = part.to_lowercase();
    names.retain(|name| name.to_lowercase().contains(&part));
    let standing = |name: &String| {
        let gates = Gates::read(name, Some(&tables), View::Own)?;
        let definition = definitions.iter().find(|it| it.name == *name);
        Ok(value(name, &gates, definition))
    };
    names.iter().map(standing).collect()
}

fn value(name: &str, gates: &Gates, definition: Option<&Definition>) -> Value {
    let (mut opted_out, mut actors) = (Vec::new(), Vec::new());
    for actor in &gates.actors {
        match actor.strip_suffix(OPT_OUT) {
            Some(actor) => opted_out.push(actor),
            None => actors.push(actor),
        }
    }
    opted_out.sort_unstable();
    actors.sort_unstable();
    json!({
        "name": name,
        "state": gates.state().name(),
        "is_set": gates.is_persisted,
        "is_on_for_anybody": gates.are_open_for_anybody(),
        "boolean": gates.boolean,
        "default_enabled": gates.default_enabled,
        "percentage_of_actors": gates.percentage_of_actors,
        "percentage_of_time": gates.percentage_of_time,
        "actors": actors,
        "opted_out": opted_out,
        "groups": gates.groups,
        "type": definition.map(|it| &it.kind),
        "group": definition.and_then(|it| it.group.as_ref()),
    })
}

/// How many rows of gates a flag has that say nothing: all of a flag that is gone, and those beside one that opens it for everybody,
/// but for the exceptions from that.
pub(crate) fn stale_gates(name: &str, schema: &str) -> Result<usize> {
    let tables = Tables::of_schema(schema)?;
    let gates = Gates::read(name, Some(&tables), View::Own)?;
    let exceptions = gates.actors.iter().filter(|it| it.ends_with(OPT_OUT));
    Ok(match (gates.is_persisted, gates.boolean) {
        (false, _) => gates.rows,
        (true, true) => gates.rows.saturating_sub(1 + exceptions.count()),
        (true, false) => 0,
    })
}

/// When flags were last written, by the times that their rows have: name and seconds from then.
pub(crate) fn ages(schema: &str) -> Result<Vec<(String, i64)>> {
    let tables = Tables::of_schema(schema)?;
    let mut ages = Vec::new();
    tables.rows(&tables.ages, View::Own, &[], |row| {
        ages.extend(row.get::<String>(1).zip(row.get::<i64>(2)));
    });
    Ok(ages)
}
