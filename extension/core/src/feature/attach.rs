//! Flipper's tables, created where the application has none, and the triggers on them that audit every change.

use super::tables::{FEATURES, GATES, Tables};
use crate::error::{FeatureError, Result};
use lockstep_server::host::{
    Answer, HostTrigger, Relation, Scope, Writes, check_is_owner, install_triggers,
    remove_triggers, run,
};
use lockstep_server::{Statement, connected, datum, distributes_schema, with_catalog_path};
use pgrx::pg_sys;
use pgrx::spi::{quote_identifier, quote_qualified_identifier};

const TRIGGERS: [HostTrigger; 2] = [
    HostTrigger {
        name: "lockstep_feature_audit",
        when: "after insert or update or delete on {table} for each row",
        function: "audit_feature",
    },
    HostTrigger {
        name: "lockstep_feature_audit_truncate",
        when: "after truncate on {table} for each statement",
        function: "audit_feature",
    },
];

pub(crate) const FEATURE: &str = "feature_flags";

fn answer(status: &str, detail: impl Into<String>) -> Result<Answer> {
    Ok((FEATURE.to_owned(), status.to_owned(), detail.into()))
}

/// Creates the tables if the schema has neither, and audits changes of their rows from now on.
pub(crate) fn attach(schema: &str, scope: &Scope) -> Result<Answer> {
    let tables = [FEATURES, GATES].map(|name| Relation::find_table(schema, name));
    let [features, gates] = tables;
    let (tables, done) = match (features?, gates?) {
        (Some(features), Some(gates)) => ([features, gates], "changes are recorded"),
        (None, None) => {
            if let Some(name) = taken_name(schema) {
                let name = quote_qualified_identifier(schema, &name);
                return answer("skipped", format!("\"{name}\" is not a table"));
            }
            if distributes_schema(schema) {
                return answer(
                    "skipped",
                    format!(
                        "schema {schema} has no table {FEATURES}, and Citus would distribute one"
                    ),
                );
            }
            if !may_create_in(schema) {
                return answer(
                    "skipped",
                    format!("schema {schema} has no table {FEATURES}, and you may not create one"),
                );
            }
            if scope.is_dry_run {
                return answer("would attach", "creates features and feature_gates");
            }
            (
                create(schema)?,
                "created features and feature_gates; changes are recorded",
            )
        }
        (features, _) => {
            let missing = if features.is_some() { GATES } else { FEATURES };
            return answer("skipped", format!("schema {schema} has no table {missing}"));
        }
    };
    for table in &tables {
        check_is_owner(table)?;
    }
    let checked = tables
        .iter()
        .try_for_each(|table| {
            table.check_is_permanent_table()?;
            table.check_defers_nothing(Writes::Rows)
        })
        .and_then(|()| Tables::find(schema));
    if let Err(error) = checked {
        return answer("skipped", error.message());
    }
    let [features, gates] = &tables;
    let installed = install_triggers(scope, &[(features, &TRIGGERS), (gates, &TRIGGERS)])?;
    Ok(installed.answer(FEATURE.to_owned(), done))
}

/// Removes the triggers; tables and flags stay.
pub(crate) fn detach(schema: &str) -> Result<Answer> {
    match remove_triggers(schema, &[(FEATURES, &TRIGGERS), (GATES, &TRIGGERS)])? {
        true => answer("detached", "triggers removed; the flags stay"),
        false => answer("skipped", "not attached"),
    }
}

/// The tables as Flipper creates them.
fn create(schema: &str) -> Result<[Relation; 2]> {
    let quoted = quote_identifier(schema);
    let features = quote_qualified_identifier(schema, FEATURES);
    let gates = quote_qualified_identifier(schema, GATES);
    run(&format!(
        "create table {features} (
           id bigserial constraint features_pkey primary key, key character varying not null,
           created_at timestamp without time zone not null, updated_at timestamp without time zone not null);
         create unique index index_features_on_key on {features} (key);
         create table {gates} (
           id bigserial constraint feature_gates_pkey primary key, feature_key character varying not null,
           key character varying not null, value text,
           created_at timestamp without time zone not null, updated_at timestamp without time zone not null);
         create unique index index_feature_gates_on_feature_key_and_key_and_value on {gates} (feature_key, key, value)"
    ))?;
    let missing = || FeatureError::NoTables {
        schema: quoted.clone(),
    };
    Ok([
        Relation::find_table(schema, FEATURES)?.ok_or_else(missing)?,
        Relation::find_table(schema, GATES)?.ok_or_else(missing)?,
    ])
}

/// One of the two names, if a view or the like has it.
fn taken_name(schema: &str) -> Option<String> {
    let query = Statement::new(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = $1 and c.relname in ($2, $3) order by 1 limit 1",
        &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
    );
    let arguments = [schema, FEATURES, GATES].map(datum);
    with_catalog_path(|| connected(|| query.text(&arguments)))
}

fn may_create_in(schema: &str) -> bool {
    let query = Statement::new(
        "select 'yes' where has_schema_privilege($1, 'create')",
        &[pg_sys::TEXTOID],
    );
    with_catalog_path(|| connected(|| query.text(&[datum(schema)]))).is_some()
}
