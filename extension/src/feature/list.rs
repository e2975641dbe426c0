//! All flags, for people to read.

use super::definition;
use super::gates::{Gates, OPT_OUT};
use super::tables::{FEATURES, GATES, Tables};
use crate::error::{OrRaise, Result};
use crate::server::{Statement, View, connected, datum, with_catalog_path};
use pgrx::datum::Timestamp;
use pgrx::pg_sys;
use pgrx::prelude::*;

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
);

/// The rows of lockstep.features.
#[pg_extern(sql = r#"
create function lockstep.list_features()
returns table(schema text, name text, state text, percentage_of_actors double precision, percentage_of_time double precision,
              actors text[], opted_out text[], groups text[], type text, default_enabled boolean,
              created_at timestamp, updated_at timestamp)
language c stable set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.list_features() is 'part of lockstep.features, which is to be read instead';
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
    ),
> {
    TableIterator::new(all().or_raise())
}

fn all() -> Result<Vec<Flag>> {
    let definitions = definition::all()?;
    let mut flags = Vec::new();
    for schema in schemas() {
        let Some(tables) = Tables::find(&schema)? else {
            continue;
        };
        let mut rows = Vec::new();
        connected(|| {
            tables.all.rows(View::Caller, &[], |row| {
                rows.push((
                    row.get::<String>(1).unwrap_or_default(),
                    row.get::<Timestamp>(2),
                    row.get::<Timestamp>(3),
                ));
            })
        });
        for (name, created_at, updated_at) in rows {
            let gates = Gates::read(&name, Some(&tables), View::Caller)?;
            let definition = definitions.iter().find(|it| it.name == name);
            let kind = definition.map(|it| it.kind.clone());
            flags.push(flag(
                Some(schema.clone()),
                name,
                &gates,
                kind,
                [created_at, updated_at],
            ));
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
    )
}

/// Those with flags that the caller may read.
fn schemas() -> Vec<String> {
    let query = Statement::new(
        "select n.nspname::text from pg_namespace n
           join pg_class f on f.relnamespace = n.oid and f.relname = $1 and f.relkind in ('r', 'p')
           join pg_class g on g.relnamespace = n.oid and g.relname = $2 and g.relkind in ('r', 'p')
          where has_schema_privilege(n.oid, 'usage') and has_table_privilege(f.oid, 'select')
            and has_table_privilege(g.oid, 'select')
          order by n.nspname",
        &[pg_sys::TEXTOID, pg_sys::TEXTOID],
    );
    let mut schemas = Vec::new();
    with_catalog_path(|| {
        connected(|| {
            query.rows(View::NewestReadOnly, &[FEATURES, GATES].map(datum), |row| {
                schemas.extend(row.get::<String>(1));
            })
        })
    });
    schemas
}
