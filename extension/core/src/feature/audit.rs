//! Who changed which flag, and how: written by triggers, so that no change is missed.

use super::tables::{FEATURE_TEXTS, FEATURES, GATE_TEXTS, GATES};
use crate::error::{FeatureError, OrRaise, Result, ServerError};
use lockstep_server::host::{self, Known, Relation, text};
use lockstep_server::kept;
use lockstep_server::row::{Row, Stored};
use lockstep_server::{OwnStatement, current_user, datum};
use pgrx::datum::TryFromDatumError;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

kept! {
    static INSERT: OwnStatement = OwnStatement::new(
        // The first letter tells a missing value from an empty one.
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
    );
}

/// On whose behalf a schema's flags are being changed.
struct Behalf {
    schema: String,
    /// The role that called the function, which runs as the owner of the tables.
    role: Oid,
    /// If someone who is not a role asked for it: who, and how.
    actor: String,
    source: String,
}

thread_local! {
    static BEHALF: RefCell<Option<Behalf>> = const { RefCell::new(None) };
}

/// Audits what `work` changes as done by a role, on behalf of someone who is not a role.
pub(super) fn on_behalf_of<R>(
    schema: &str,
    role: Oid,
    actor: &str,
    source: &str,
    work: impl FnOnce() -> R,
) -> R {
    /// Also runs after an error, which unwinds.
    struct End(Option<Behalf>);
    impl Drop for End {
        fn drop(&mut self) {
            BEHALF.replace(self.0.take());
        }
    }
    let former = BEHALF.replace(Some(Behalf {
        schema: schema.to_owned(),
        role,
        actor: actor.to_owned(),
        source: source.to_owned(),
    }));
    let _end = End(former);
    work()
}

/// Audits what `work` changes as done by the current caller, or by whoever that is on behalf of.
pub(super) fn by_caller<R>(schema: &str, work: impl FnOnce() -> R) -> R {
    let is_set = BEHALF.with_borrow(|behalf| behalf.as_ref().is_some_and(|it| it.schema == schema));
    match is_set {
        true => work(),
        false => on_behalf_of(schema, current_user(), "", "", work),
    }
}

/// What to read from a table's rows.
struct Place {
    schema: String,
    /// The flag's name, and for gates also key and value.
    columns: Vec<Stored>,
}

kept! {
    static PLACES: RefCell<Known<Oid, Rc<Place>>> = RefCell::new(Known::new());
}

fn place(trigger: &PgTrigger) -> Result<Rc<Place>> {
    let oid = trigger.relid().map_err(ServerError::catalog)?;
    PLACES.with(|known| Known::get_or_learn(known, oid, || learn_place(oid).map(Rc::new)))
}

/// Any user can put this trigger on a table of their own, with any columns; it audits into the schema of that table.
#[cold]
fn learn_place(oid: Oid) -> Result<Place> {
    host::watch(oid);
    let table = Relation::describe(oid.to_u32())?;
    let columns = match table.name() {
        FEATURES if !table.is_temporary() => FEATURE_TEXTS.as_slice(),
        GATES if !table.is_temporary() => GATE_TEXTS.as_slice(),
        _ => {
            return Err(FeatureError::NotAFeatureTable {
                table: table.qualified_name(),
            }
            .into());
        }
    };
    let columns = columns.iter().map(|name| text(&table, name));
    Ok(Place {
        schema: table.schema().to_owned(),
        columns: columns
            .map(|column| Ok(Stored::new(column?)))
            .collect::<Result<_>>()?,
    })
}

/// What is kept of a name and of a value, which in a table of one's own can be of any length.
const MOST_OF_NAME: usize = 255;
const MOST_OF_VALUE: usize = 10_000;

fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// What a row says: the flag, the gate and its value.
#[derive(Default)]
struct Said {
    feature: String,
    gate: String,
    value: Option<String>,
}

impl Place {
    fn read(&self, row: &Row) -> Said {
        let mut texts = self.columns.iter().map(|column| row.text(column));
        let mut next = || texts.next().flatten();
        Said {
            feature: cut(next().unwrap_or_default(), MOST_OF_NAME),
            gate: cut(next().unwrap_or_default(), MOST_OF_NAME),
            value: next().map(|value| cut(value, MOST_OF_VALUE)),
        }
    }
}

/// AFTER a change of a row in Flipper's tables, and after TRUNCATE.
#[pg_trigger(sql = "
create function lockstep_internal.audit_feature() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.audit_feature() is 'trigger on features and feature_gates: records each change in lockstep.feature_audit';")]
fn audit_feature<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, TryFromDatumError> {
    audit(trigger).or_raise();
    Ok(None)
}

fn audit(trigger: &PgTrigger) -> Result<()> {
    let place = place(trigger)?;
    let event = trigger.event();
    if event.fired_by_truncate() {
        return record(&place.schema, "truncate", Said::default(), None);
    }
    if !event.fired_for_row() {
        return Ok(());
    }
    let (before, after) = Row::versions_of(trigger);
    let [before, after] = [before, after].map(|row| row.map(|row| place.read(&row)));
    match (before, after) {
        // A row that moves to another flag or gate is removed from one and added to the other.
        (Some(before), Some(after))
            if (&before.feature, &before.gate) != (&after.feature, &after.gate) =>
        {
            record(&place.schema, "delete", before, None)?;
            record(&place.schema, "insert", after, None)
        }
        (Some(before), Some(after)) => record(&place.schema, "update", before, Some(after)),
        (None, Some(after)) => record(&place.schema, "insert", after, None),
        (Some(before), None) => record(&place.schema, "delete", before, None),
        (None, None) => Ok(()),
    }
}

fn record(schema: &str, change: &str, row: Said, after: Option<Said>) -> Result<()> {
    let (before, after) = match (change, after) {
        ("insert", _) => (None, row.value),
        (_, None) => (row.value, None),
        // The application touches the timestamp of a row without changing its value.
        (_, Some(after)) if after.value == row.value => return Ok(()),
        (_, Some(after)) => (row.value, after.value),
    };
    let marked =
        |value: Option<String>| value.map_or_else(String::new, |value| format!("={value}"));
    let (role, actor, source) =
        BEHALF.with_borrow(
            |behalf| match behalf.as_ref().filter(|it| it.schema == schema) {
                Some(it) => (it.role, it.actor.clone(), it.source.clone()),
                None => (current_user(), String::new(), String::new()),
            },
        );
    let arguments = [
        datum(role),
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
