//! Who changed which flag, and how: written by triggers, so that no change is left out, whoever makes it.

use super::tables::{FEATURES, GATES};
use crate::error::{Error, FeatureError, OrRaise, Result};
use crate::own_statement::OwnStatement;
use crate::server::datum;
use pgrx::datum::TryFromDatumError;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::mem::ManuallyDrop;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static INSERT: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        // A value that is not there is told from an empty one by its first letter.
        "insert into lockstep.feature_audit (role, schema, feature, change, gate, before, after, actor, source)
         values (pg_get_userbyid($1), $2, nullif($3, ''), $4, nullif($5, ''),
                 case when $6 like '=%' then substr($6, 2) end, case when $7 like '=%' then substr($7, 2) end,
                 nullif($8, ''), nullif($9, ''))",
        &[
            pg_sys::OIDOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
        ],
    ));
}

/// On whose behalf flags are changed now, and how he asked for it.
#[derive(Default)]
struct Behalf {
    actor: String,
    source: String,
}

thread_local! {
    static BEHALF: RefCell<Option<Behalf>> = const { RefCell::new(None) };
}

/// What `work` changes is recorded as asked for by somebody who is no role.
pub(crate) fn on_behalf_of<R>(actor: &str, source: &str, work: impl FnOnce() -> R) -> R {
    /// Also after an error: that unwinds.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            BEHALF.take();
        }
    }
    BEHALF.replace(Some(Behalf {
        actor: actor.to_owned(),
        source: source.to_owned(),
    }));
    let _end = End;
    work()
}

/// What a row says: the flag, the gate and its value.
#[derive(Default)]
struct Row {
    feature: String,
    gate: String,
    value: Option<String>,
}

/// AFTER a change of a row of Flipper's tables, and after TRUNCATE.
#[pg_trigger(sql = "
create function lockstep.audit_feature() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.audit_feature() is 'trigger of features and feature_gates: records each change in lockstep.feature_audit';")]
fn audit_feature<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, TryFromDatumError> {
    let table = trigger.table_name().unwrap_or_default();
    let is_gates = match table.as_str() {
        FEATURES => false,
        GATES => true,
        _ => Error::from(FeatureError::NotAFeatureTable { table }).raise(),
    };
    let schema = trigger.table_schema().unwrap_or_default();
    let read = |row: Option<PgHeapTuple<'_, AllocatedByPostgres>>| -> Result<Option<Row>, TryFromDatumError> {
        let Some(row) = row else {
            return Ok(None);
        };
        let text = |column| row.get_by_name::<String>(column);
        Ok(Some(match is_gates {
            false => Row {
                feature: text("key")?.unwrap_or_default(),
                ..Row::default()
            },
            true => Row {
                feature: text("feature_key")?.unwrap_or_default(),
                gate: text("key")?.unwrap_or_default(),
                value: text("value")?,
            },
        }))
    };
    let event = trigger.event();
    let (before, after) = (read(trigger.old())?, read(trigger.new())?);
    let rows = if event.fired_by_truncate() {
        vec![("truncate", Row::default(), None)]
    } else if event.fired_by_insert() {
        after.map(|row| ("insert", row, None)).into_iter().collect()
    } else if event.fired_by_delete() {
        before
            .map(|row| ("delete", row, None))
            .into_iter()
            .collect()
    } else {
        match (before, after) {
            // A row that goes over to another flag or gate leaves the one and comes to the other.
            (Some(before), Some(after))
                if (&before.feature, &before.gate) != (&after.feature, &after.gate) =>
            {
                vec![("delete", before, None), ("insert", after, None)]
            }
            (Some(before), Some(after)) => vec![("update", before, Some(after))],
            _ => Vec::new(),
        }
    };
    for (change, row, after) in rows {
        record(&schema, change, row, after).or_raise();
    }
    Ok(None)
}

fn record(schema: &str, change: &str, row: Row, after: Option<Row>) -> Result<()> {
    let (before, after) = match (change, after) {
        ("insert", _) => (None, row.value),
        (_, None) => (row.value, None),
        // The application touches the time of a row that says the same as before.
        (_, Some(after)) if after.value == row.value => return Ok(()),
        (_, Some(after)) => (row.value, after.value),
    };
    let marked =
        |value: Option<String>| value.map_or_else(String::new, |value| format!("={value}"));
    let (actor, source) = BEHALF.with_borrow(|behalf| {
        behalf
            .as_ref()
            .map(|it| (it.actor.clone(), it.source.clone()))
            .unwrap_or_default()
    });
    let arguments = [
        datum(crate::server::current_user()),
        datum(schema),
        datum(row.feature),
        datum(change),
        datum(row.gate),
        datum(marked(before)),
        datum(marked(after)),
        datum(actor),
        datum(source),
    ];
    INSERT.with(|statement| statement.run(&arguments))?;
    Ok(())
}
