//! The state of flags, for extensions that build on lockstep. Readable by any caller.

use super::definition::{self, Definition};
use super::gates::{Gates, OPT_OUT};
use super::tables::Tables;
use crate::error::{OrRaise, Result, required};
use lockstep_server::View;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;

type Standing = (String, JsonB, i64, Option<i64>);

/// How flags stand.
#[pg_extern(sql = r#"
create function lockstep_internal.feature_standings(schema text, name text default null)
returns table (name text, standing jsonb, stale_rows bigint, age_seconds bigint)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.feature_standings(text, text) is
  'the current state of all feature flags that are set, or of one flag, set or not: for extensions that build on lockstep. stale_rows counts gate rows without effect, age_seconds is the time since the rows of the flag last changed';
revoke execute on function lockstep_internal.feature_standings(text, text) from public;
"#)]
fn feature_standings(
    schema: Option<&str>,
    name: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(name, String),
        name!(standing, JsonB),
        name!(stale_rows, i64),
        name!(age_seconds, Option<i64>),
    ),
> {
    let schema = required(schema, "schema");
    TableIterator::new(standings(schema, name).or_raise())
}

fn standings(schema: &str, name: Option<&str>) -> Result<Vec<Standing>> {
    let tables = Tables::of_schema(schema)?;
    let mut names = Vec::new();
    let view = match name {
        Some(name) => {
            super::check_name(name)?;
            names.push(name.to_owned());
            View::Newest
        }
        None => {
            tables.rows(&tables.all, View::Own, &[], |row| {
                names.extend(row.get::<String>(1));
            });
            View::Own
        }
    };
    let mut ages = HashMap::new();
    tables.rows(&tables.ages, View::Own, &[], |row| {
        ages.extend(row.get::<String>(1).zip(row.get::<i64>(2)));
    });
    let definitions = definition::all()?;
    let standing = |name: String| {
        let gates = Gates::read(&name, Some(&tables), view)?;
        let definition = definitions.iter().find(|it| it.name == name);
        let age = ages.get(&name).copied();
        let value = JsonB(value(&name, &gates, definition));
        Ok((name, value, stale(&gates) as i64, age))
    };
    names.into_iter().map(standing).collect()
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
        "has_expression": gates.expression.is_some(),
        "type": definition.map(|it| &it.kind),
        "group": definition.and_then(|it| it.group.as_ref()),
    })
}

/// How many gate rows of a flag have no effect: all rows of a removed flag, and those next to a gate that is open for everybody,
/// except opt-outs.
fn stale(gates: &Gates) -> usize {
    let exceptions = gates.actors.iter().filter(|it| it.ends_with(OPT_OUT));
    match (gates.is_persisted, gates.boolean) {
        (false, _) => gates.rows,
        (true, true) => gates.rows.saturating_sub(1 + exceptions.count()),
        (true, false) => 0,
    }
}
