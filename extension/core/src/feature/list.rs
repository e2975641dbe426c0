//! All flags, for people to read.

use super::definition::{self, Definition};
use super::gates::{Gates, OPT_OUT};
use super::recorded;
use super::tables::Tables;
use crate::error::{OrRaise, Result, required};
use lockstep_server::{View, attempt, host};
use pgrx::JsonB;
use pgrx::datum::Timestamp;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;

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
    let mut flags = Vec::new();
    for schema in schemas {
        // A table's owner can make reading it fail, but must not keep others from seeing their own flags.
        match attempt(AssertUnwindSafe(|| read(&schema, &definitions))) {
            Ok(found) => flags.extend(found?),
            Err(failure) => warning!(
                "feature flags of schema {schema} cannot be read: {}",
                failure.message
            ),
        }
    }
    for definition in definitions {
        if !flags.iter().any(|flag| flag.1 == definition.name) {
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

fn read(schema: &str, definitions: &[Definition]) -> Result<Vec<Flag>> {
    let Some(tables) = Tables::find(schema)? else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    tables.rows(&tables.all, View::Caller, &[], |row| {
        let times = [2, 3].map(|column| row.get::<Timestamp>(column));
        rows.push((row.get::<String>(1).unwrap_or_default(), times));
    });
    let flags = rows.into_iter().map(|(name, times)| {
        let gates = Gates::read(&name, Some(&tables), View::Caller)?;
        let definition = definitions.iter().find(|it| it.name == name);
        let kind = definition.map(|it| it.kind.clone());
        Ok(flag(Some(schema.to_owned()), name, &gates, kind, times))
    });
    flags.collect()
}

fn flag(
    schema: Option<String>,
    name: String,
    gates: &Gates,
    kind: Option<String>,
    [created_at, updated_at]: [Option<Timestamp>; 2],
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
