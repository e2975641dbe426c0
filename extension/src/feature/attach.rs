//! Flipper's tables, made where the host has none, and the triggers on them that record every change.

use super::tables::{FEATURES, GATES, Tables};
use crate::attach::Answer;
use crate::error::{FeatureError, Result};
use crate::host::{Relation, check_is_owner, lock_tables, run, run_as_owner_of};
use crate::server::{Statement, connected, datum, with_catalog_path};
use pgrx::pg_sys;
use pgrx::spi::{quote_identifier, quote_qualified_identifier};

const TRIGGERS: [(&str, &str); 2] = [
    (
        "lockstep_feature_audit",
        "after insert or update or delete on {table} for each row",
    ),
    (
        "lockstep_feature_audit_truncate",
        "after truncate on {table} for each statement",
    ),
];

fn answer(status: &str, detail: impl Into<String>) -> Result<Answer> {
    Ok(("feature_flags".to_owned(), status.to_owned(), detail.into()))
}

/// Makes the tables, if the schema has neither, and records the changes of their rows from now on.
pub(crate) fn attach(schema: &str) -> Result<Answer> {
    let tables = [FEATURES, GATES].map(|name| Relation::find_table(schema, name));
    let [features, gates] = tables;
    let (tables, done) = match (features?, gates?) {
        (Some(features), Some(gates)) => ([features, gates], "changes are recorded"),
        (None, None) => {
            if !may_create_in(schema) {
                return answer(
                    "skipped",
                    format!("schema {schema} has no table {FEATURES}, and you may not create one"),
                );
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
        .try_for_each(Relation::check_is_permanent_table)
        .and_then(|()| Tables::find(schema));
    if let Err(error) = checked {
        return answer("skipped", error.message());
    }
    let is_installed = |table: &Relation| {
        TRIGGERS
            .iter()
            .all(|(name, _)| table.trigger(name).is_some())
    };
    if tables.iter().all(is_installed) {
        let is_off = |table: &&Relation| {
            let triggers = TRIGGERS.iter().filter_map(|(name, _)| table.trigger(name));
            triggers.into_iter().any(|trigger| !trigger.enabled)
        };
        return answer(
            "attached",
            match tables.iter().find(is_off) {
                Some(table) => format!(
                    "already attached, but disabled; to enable it: alter table {} enable trigger user",
                    table.qualified_name()
                ),
                None => "already attached, nothing changed".to_owned(),
            },
        );
    }
    lock_tables(&tables.each_ref());
    for table in &tables {
        // Somebody else may have attached while this waited for the lock.
        let now = Relation::describe(table.oid)?;
        let table = now.qualified_name();
        for (trigger, when) in TRIGGERS {
            if now.trigger(trigger).is_some() {
                continue;
            }
            let when = when.replace("{table}", &table);
            let statements = [
                format!(
                    "create trigger {trigger} {when} execute function lockstep.audit_feature()"
                ),
                format!("alter trigger {trigger} on {table} depends on extension lockstep"),
            ];
            run_as_owner_of(&now, &statements)?;
        }
    }
    answer("attached", done)
}

/// Removes the triggers; tables and flags stay.
pub(crate) fn detach(schema: &str) -> Result<Answer> {
    let mut is_attached = false;
    for name in [FEATURES, GATES] {
        let Some(table) = Relation::find_table(schema, name)? else {
            continue;
        };
        for (trigger, _) in TRIGGERS {
            if table.trigger(trigger).is_some() {
                check_is_owner(&table)?;
                let drop = format!("drop trigger {trigger} on {}", table.qualified_name());
                run_as_owner_of(&table, &[drop])?;
                is_attached = true;
            }
        }
    }
    match is_attached {
        true => answer("detached", "triggers removed; the flags stay"),
        false => answer("skipped", "not attached"),
    }
}

/// The tables as Flipper makes them.
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

fn may_create_in(schema: &str) -> bool {
    let query = Statement::new(
        "select 'yes' where has_schema_privilege($1, 'create')",
        &[pg_sys::TEXTOID],
    );
    with_catalog_path(|| connected(|| query.text(&[datum(schema)]))).is_some()
}
