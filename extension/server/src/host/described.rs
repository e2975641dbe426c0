//! Reads what the catalogs say about a table.

#![allow(unsafe_code)]

use super::column::Column;
use super::relation::{ForeignKey, InstalledTrigger, Part, Relation};
use crate::catalog::{
    Entry, PG_ATTRIBUTE, PG_CLASS, PG_CONSTRAINT, PG_INDEX, PG_INHERITS_BY_CHILD,
    PG_INHERITS_BY_PARENT, PG_TRIGGER,
};
use crate::citus;
use crate::error::{HostError, Result};
use crate::session::see_own_changes;
use crate::with_catalog_path;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::quote_qualified_identifier;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_char};

thread_local! {
    /// Descriptions read within [`reading_once`].
    static READ: RefCell<Option<HashMap<u32, Relation>>> = const { RefCell::new(None) };
}

/// Reads each table once during `work`, and again after a change. A table with a thousand partitions takes milliseconds to read,
/// while writers wait.
pub fn reading_once<R>(work: impl FnOnce() -> R) -> R {
    /// Also runs when `work` fails: the error unwinds through here.
    struct Scope;
    impl Drop for Scope {
        fn drop(&mut self) {
            READ.set(None);
        }
    }
    READ.set(Some(HashMap::new()));
    let _scope = Scope;
    work()
}

/// A table was changed or locked, so every description may be stale.
pub(super) fn read_again() {
    READ.with_borrow_mut(|read| {
        if let Some(read) = read {
            read.clear();
        }
    });
}

impl Relation {
    /// Reads the table's current description, regardless of the transaction's snapshot.
    pub fn describe(oid: u32) -> Result<Self> {
        let known = READ.with_borrow(|read| read.as_ref()?.get(&oid).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        see_own_changes();
        let relation = with_catalog_path(|| read(oid)).ok_or(HostError::NoSuchTable { oid })?;
        READ.with_borrow_mut(|read| {
            if let Some(read) = read {
                read.insert(oid, relation.clone());
            }
        });
        Ok(relation)
    }
}

/// How the names of our triggers begin.
const OUR_TRIGGERS: &str = "lockstep_";
/// The only other name, on tables that Citus distributes.
const OUR_TRIGGER_ON_CITUS: &str = "truncated_by_lockstep";

impl Relation {
    /// No trigger of the table or a partition is in the way of ours: neither an application's with a name like ours, nor one of
    /// ours from before a partition was one.
    pub fn check_trigger_names(&self) -> Result<()> {
        let is_ours = |name: &str| {
            name.starts_with(OUR_TRIGGERS)
                || self.is_managed_by_citus && name == OUR_TRIGGER_ON_CITUS
        };
        let is_taken = |it: &InstalledTrigger| it.function.is_none() && is_ours(&it.name);
        let taken = |table: String, trigger: String| HostError::TriggerName { table, trigger };
        if let Some(other) = self.triggers.iter().find(|it| is_taken(it)) {
            return Err(taken(self.qualified_name(), other.name.clone()).into());
        }
        for part in &self.partitions {
            for other in PG_TRIGGER.rows(part.oid, trigger) {
                let table = part.name.clone();
                if is_taken(&other) {
                    return Err(taken(table, other.name).into());
                }
                if other.function.is_some() && other.is_own_row_trigger {
                    let trigger = other.name;
                    return Err(HostError::PartitionTrigger { table, trigger }.into());
                }
            }
        }
        Ok(())
    }
}

/// A row of pg_class.
struct Class {
    owner: u32,
    namespace: u32,
    name: String,
    kind: char,
    persistence: char,
    access_method: Oid,
    is_partition: bool,
}

impl Class {
    fn of(oid: u32) -> Option<Self> {
        let found = PG_CLASS.rows(oid, |entry| {
            Some(Self {
                owner: entry.oid(c"relowner"),
                namespace: entry.oid(c"relnamespace"),
                name: entry.name(c"relname"),
                kind: entry.char(c"relkind"),
                persistence: entry.char(c"relpersistence"),
                access_method: Oid::from(entry.oid(c"relam")),
                is_partition: entry.is(c"relispartition"),
            })
        });
        found.into_iter().next()
    }

    fn schema(&self) -> String {
        // SAFETY: returns a palloc'd string, or null.
        unsafe { text(pg_sys::get_namespace_name(Oid::from(self.namespace))) }.unwrap_or_default()
    }
}

fn read(oid: u32) -> Option<Relation> {
    let class = Class::of(oid)?;
    let partitions = match class.kind {
        'p' => partitions(oid),
        _ => Vec::new(),
    };
    let columns = PG_ATTRIBUTE.rows(oid, column);
    let named = |number: i16| columns.iter().find(|column| column.number == number);
    let indexes = PG_INDEX.rows(oid, |entry| Some(Index::read(entry)));
    let primary_key = indexes.iter().find(|index| index.is_primary);
    let primary_key = primary_key.map_or(&[][..], |index| &index.columns);
    let usable = indexes.iter().filter(|index| index.is_usable);
    let first = usable.filter_map(|index| index.columns.first());
    let triggers = PG_TRIGGER.rows(oid, trigger);
    let parts = partitions
        .iter()
        .flat_map(|part| PG_TRIGGER.rows(part.oid, trigger));
    Some(Relation {
        oid,
        owner: class.owner,
        schema: class.schema(),
        kind: class.kind,
        persistence: class.persistence,
        is_managed_by_citus: citus::manages(oid),
        // SAFETY: looks up the table's dependencies.
        is_of_extension: unsafe {
            pg_sys::getExtensionOfObject(pg_sys::RelationRelationId, Oid::from(oid))
        } != Oid::INVALID,
        rewrites_updates: triggers.iter().any(|it| it.rewrites_updates)
            || parts.into_iter().any(|it| it.rewrites_updates),
        is_heap: class.access_method == pg_sys::HEAP_TABLE_AM_OID,
        ancestors: ancestors(oid, class.is_partition),
        partitions,
        has_inheritance_children: class.kind == 'r'
            && !PG_INHERITS_BY_PARENT.rows(oid, |_| Some(())).is_empty(),
        is_inheritance_child: class.kind == 'r'
            && !class.is_partition
            && !PG_INHERITS_BY_CHILD.rows(oid, |_| Some(())).is_empty(),
        primary_key: primary_key
            .iter()
            .filter_map(|number| Some(named(*number)?.name.clone()))
            .collect(),
        indexed: first
            .filter_map(|number| Some(named(*number)?.name.clone()))
            .collect(),
        foreign_keys: PG_CONSTRAINT.rows(oid, |entry| foreign_key(entry, named)),
        triggers,
        name: class.name,
        columns,
    })
}

fn column(entry: &Entry) -> Option<Column> {
    let number = entry.get::<i16>(c"attnum").filter(|number| *number > 0)?;
    if entry.is(c"attisdropped") {
        return None;
    }
    let type_oid = Oid::from(entry.oid(c"atttypid"));
    let (mut category, mut is_preferred) = (0, false);
    // SAFETY: the type exists, because a column has it; the functions look it up and return a palloc'd string.
    let (type_name, kind) = unsafe {
        pg_sys::get_type_category_preferred(type_oid, &mut category, &mut is_preferred);
        let name = pg_sys::format_type_extended(
            type_oid,
            -1,
            pg_sys::FORMAT_TYPE_TYPEMOD_GIVEN as pg_sys::bits16,
        );
        (text(name), pg_sys::get_typtype(type_oid))
    };
    Some(Column {
        number,
        name: entry.name(c"attname"),
        type_oid: type_oid.to_u32(),
        collation: entry.oid(c"attcollation"),
        by_value: entry.is(c"attbyval"),
        length: entry.get(c"attlen").unwrap_or_default(),
        type_name: type_name.unwrap_or_default(),
        category: char::from(category as u8),
        is_enum: kind as u32 == pg_sys::TYPTYPE_ENUM as u32,
        is_generated: entry.char(c"attgenerated") != '\0',
    })
}

struct Index {
    is_primary: bool,
    /// It finds every row by its first column.
    is_usable: bool,
    /// The numbers of its key columns; zero for an expression.
    columns: Vec<i16>,
}

impl Index {
    fn read(entry: &Entry) -> Self {
        let mut columns: Vec<i16> = entry.get(c"indkey").unwrap_or_default();
        let keys: i16 = entry.get(c"indnkeyatts").unwrap_or_default();
        columns.truncate(keys as usize);
        let is_btree = || {
            let index = Class::of(entry.oid(c"indexrelid"));
            index.is_some_and(|it| it.access_method == pg_sys::BTREE_AM_OID)
        };
        Self {
            is_primary: entry.is(c"indisprimary"),
            is_usable: entry.is(c"indisvalid") && entry.is_null(c"indpred") && is_btree(),
            columns,
        }
    }
}

/// A key of one column that is checked by the end of every statement. `named` is a column of this table.
fn foreign_key<'a>(entry: &Entry, named: impl Fn(i16) -> Option<&'a Column>) -> Option<ForeignKey> {
    let is_checked =
        entry.char(c"contype") == 'f' && entry.is(c"convalidated") && !entry.is(c"condeferrable");
    if !is_checked {
        return None;
    }
    let column: Vec<i16> = entry.get(c"conkey")?;
    let target_column: Vec<i16> = entry.get(c"confkey")?;
    let ([column], [target_column]) = (column.as_slice(), target_column.as_slice()) else {
        return None;
    };
    let target = entry.oid(c"confrelid");
    // SAFETY: returns a palloc'd string, or null.
    let target_column =
        unsafe { text(pg_sys::get_attname(Oid::from(target), *target_column, true)) };
    Some(ForeignKey {
        column: named(*column)?.name.clone(),
        target,
        target_column: target_column?,
        // The default that rows here are set to may be the key that they have.
        waits_on_delete: matches!(entry.char(c"confdeltype"), 'a' | 'd'),
        follows_update: matches!(entry.char(c"confupdtype"), 'r' | 'c'),
    })
}

fn trigger(entry: &Entry) -> Option<InstalledTrigger> {
    /// BEFORE UPDATE, for each row.
    const REWRITES: u32 =
        pg_sys::TRIGGER_TYPE_ROW | pg_sys::TRIGGER_TYPE_BEFORE | pg_sys::TRIGGER_TYPE_UPDATE;
    if entry.is(c"tgisinternal") {
        return None;
    }
    let kind = entry.get::<i16>(c"tgtype").unwrap_or_default() as u32;
    let state = entry.char(c"tgenabled");
    let enabled = state != 'D';
    Some(InstalledTrigger {
        name: entry.name(c"tgname"),
        enabled,
        fires: matches!(state, 'O' | 'A'),
        fires_always: state == 'A',
        kind,
        function: own_function(Oid::from(entry.oid(c"tgfoid"))),
        arguments: arguments(entry.get(c"tgargs").unwrap_or_default()),
        rewrites_updates: enabled && kind & REWRITES == REWRITES,
        is_own_row_trigger: kind & pg_sys::TRIGGER_TYPE_ROW != 0
            && entry.oid(c"tgparentid") == Oid::INVALID.to_u32(),
    })
}

/// Each argument of a trigger is stored with a NUL behind it.
fn arguments(stored: Vec<u8>) -> Vec<String> {
    let mut arguments: Vec<String> = stored
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    arguments.pop();
    arguments
}

/// The name of a function, if it is one of ours.
fn own_function(function: Oid) -> Option<String> {
    // SAFETY: looks up the function and the schema; the name is a palloc'd string, or null.
    unsafe {
        let ours = pg_sys::get_namespace_oid(c"lockstep_internal".as_ptr(), true);
        (ours != Oid::INVALID && pg_sys::get_func_namespace(function) == ours)
            .then(|| text(pg_sys::get_func_name(function)))?
    }
}

/// Other tables that a row of pg_inherits leads to, except through a partition that is being detached concurrently.
fn inherits(entry: &Entry, column: &CStr) -> Option<u32> {
    (!entry.is(c"inhdetachpending")).then(|| entry.oid(column))
}

/// The table itself, then the partitioned tables above it.
fn ancestors(oid: u32, is_partition: bool) -> Vec<u32> {
    let mut ancestors = vec![oid];
    let mut lowest = is_partition.then_some(oid);
    while let Some(child) = lowest {
        let parents = PG_INHERITS_BY_CHILD.rows(child, |entry| inherits(entry, c"inhparent"));
        ancestors.extend(parents.first());
        lowest = parents
            .first()
            .copied()
            .filter(|parent| Class::of(*parent).is_some_and(|class| class.is_partition));
    }
    ancestors
}

/// All tables below a partitioned one. Not pg_partition_tree, which locks them.
fn partitions(oid: u32) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut above = vec![oid];
    while let Some(parent) = above.pop() {
        let below = PG_INHERITS_BY_PARENT.rows(parent, |entry| inherits(entry, c"inhrelid"));
        for part in below {
            let Some(class) = Class::of(part) else {
                continue;
            };
            above.push(part);
            parts.push(Part {
                oid: part,
                owner: class.owner,
                name: quote_qualified_identifier(class.schema(), class.name),
                is_partitioned: class.kind == 'p',
                is_unlogged: class.persistence == 'u',
                is_foreign: class.kind == 'f',
            });
        }
    }
    parts.sort_by_key(|part| part.oid);
    parts
}

/// # Safety
///
/// The text is null or ends with a NUL.
unsafe fn text(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}
