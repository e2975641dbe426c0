//! All flags, for people to read.

use super::definition::{self, Definition};
use super::gates::{Gates, OPT_OUT, Rows};
use super::recorded;
use super::tables::Tables;
use crate::error::{OrRaise, Result, required};
use lockstep_server::{View, attempt, host, lock_timeout, with_settings};
use pgrx::JsonB;
use pgrx::datum::Timestamp;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// When a flag was created and updated.
type Times = [Option<Timestamp>; 2];

type Flag = (
    Option<String>,
    String,
    &'static str,
    f64,
    f64,
    Vec<String>,
    Vec<String>,
    Vec<String>,
    Option<String>,
    bool,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<String>,
);

/// The rows of lockstep.features.
#[pg_extern(sql = r#"
create function lockstep_internal.list_features()
returns table(schema text, name text, state text, percentage_of_actors double precision, percentage_of_time double precision,
              actors text[], opted_out text[], groups text[], type text, default_enabled boolean,
              created_at timestamp, updated_at timestamp, expression text)
language c stable set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.list_features() is 'part of lockstep.features, which is to be read instead';
"#)]
// It has as many types as columns.
#[allow(clippy::type_complexity)]
fn list_features() -> TableIterator<
    'static,
    (
        name!(schema, Option<String>),
        name!(name, String),
        name!(state, &'static str),
        name!(percentage_of_actors, f64),
        name!(percentage_of_time, f64),
        name!(actors, Vec<String>),
        name!(opted_out, Vec<String>),
        name!(groups, Vec<String>),
        name!(type, Option<String>),
        name!(default_enabled, bool),
        name!(created_at, Option<Timestamp>),
        name!(updated_at, Option<Timestamp>),
        name!(expression, Option<String>),
    ),
> {
    TableIterator::new(flags_of(recorded::schemas_of_caller()).or_raise())
}

/// The flags of one schema, including those that are only defined, for a status page. Readable by any caller.
#[pg_extern(sql = r#"
create function lockstep_internal.feature_report(schema text)
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.feature_report(text) is
  'the feature flags of a schema with their states, readable by any caller: for extensions that build on lockstep';
revoke execute on function lockstep_internal.feature_report(text) from public;
"#)]
fn feature_report(schema: Option<&str>) -> JsonB {
    JsonB(report(required(schema, "schema")).or_raise())
}

fn report(schema: &str) -> Result<Value> {
    host::check_schema(schema)?;
    let mut flags = flags_of(recorded::schema_alone(schema))?;
    flags.sort_by(|one, other| one.1.cmp(&other.1));
    let flags = flags.into_iter().map(|flag| {
        json!({
            "name": flag.1, "state": flag.2, "percentage_of_actors": flag.3, "percentage_of_time": flag.4,
            "actors": flag.5.len(), "groups": flag.7, "updated_at": flag.11, "has_expression": flag.12.is_some(),
        })
    });
    Ok(flags.collect())
}

fn flags_of(schemas: Vec<String>) -> Result<Vec<Flag>> {
    let definitions = definition::all()?;
    let by_name = definitions
        .iter()
        .map(|it| (it.name.as_str(), it))
        .collect();
    let mut flags = Vec::new();
    for schema in schemas {
        // A table's owner can change it, make reading it fail, or lock it, but must not keep others from seeing their own flags.
        let read = || with_settings(patience(), || read(&schema, &by_name).or_raise());
        match attempt(AssertUnwindSafe(read)) {
            Ok(found) => flags.extend(found),
            Err(failure) => warning!(
                "feature flags of schema {schema} cannot be read: {}",
                failure.message
            ),
        }
    }
    let set: HashSet<String> = flags.iter().map(|flag: &Flag| flag.1.clone()).collect();
    for definition in definitions {
        if !set.contains(&definition.name) {
            let gates = Gates {
                default_enabled: definition.default_enabled,
                ..Gates::default()
            };
            let kind = Some(definition.kind);
            flags.push(flag(None, definition.name, &gates, kind, [None, None]));
        }
    }
    Ok(flags)
}

/// How long the tables of one schema may make the reader wait.
fn patience() -> &'static [(&'static CStr, &'static CStr)] {
    const MOST: Duration = Duration::from_secs(1);
    match lock_timeout() {
        Some(own) if own <= MOST => &[],
        _ => &[(c"lock_timeout", c"1s")],
    }
}

fn read(schema: &str, definitions: &HashMap<&str, &Definition>) -> Result<Vec<Flag>> {
    let Some(tables) = Tables::find(schema)? else {
        return Ok(Vec::new());
    };
    // One statement for the gates of all flags: one for each flag takes fifty times as long.
    let mut flags: Vec<(String, Times, Rows)> = Vec::new();
    tables.rows(&tables.all, View::Caller, &[], |row| {
        let times = [2, 3].map(|column| row.get::<Timestamp>(column));
        let name = row.get::<String>(1).unwrap_or_default();
        let definition = definitions.get(&*name);
        let mut rows = Rows::of(Gates {
            is_defined: definition.is_some(),
            default_enabled: definition.is_some_and(|it| it.default_enabled),
            ..Gates::default()
        });
        rows.add(None, None);
        flags.push((name, times, rows));
    });
    let places: HashMap<String, usize> = (flags.iter().enumerate())
        .map(|(place, (name, ..))| (name.clone(), place))
        .collect();
    tables.rows(&tables.all_gates, View::Caller, &[], |row| {
        // A gate whose flag has no row has no effect here.
        if let Some(place) = row.get::<String>(1).and_then(|name| places.get(&name)) {
            flags[*place].2.add(row.get(2), row.get(3));
        }
    });
    let flags = flags.into_iter().map(|(name, times, rows)| {
        let kind = definitions.get(&*name).map(|it| it.kind.clone());
        flag(Some(schema.to_owned()), name, &rows.gates(), kind, times)
    });
    Ok(flags.collect())
}

fn flag(
    schema: Option<String>,
    name: String,
    gates: &Gates,
    kind: Option<String>,
    [created_at, updated_at]: Times,
) -> Flag {
    let (mut opted_out, mut actors) = (Vec::new(), Vec::new());
    for actor in &gates.actors {
        match actor.strip_suffix(OPT_OUT) {
            Some(actor) => opted_out.push(actor.to_owned()),
            None => actors.push(actor.clone()),
        }
    }
    let sorted = |mut texts: Vec<String>| {
        texts.sort_unstable();
        texts
    };
    (
        schema,
        name,
        gates.state().name(),
        gates.percentage_of_actors,
        gates.percentage_of_time,
        sorted(actors),
        sorted(opted_out),
        sorted(gates.groups.clone()),
        kind,
        gates.default_enabled,
        created_at,
        updated_at,
        gates.expression.clone(),
    )
}
