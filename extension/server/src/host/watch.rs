//! Detects changes of the tables that a backend has cached: renamed, moved, dropped, a column or trigger added.
//!
//! PostgreSQL reports that a table may have changed, also after ANALYZE and VACUUM. The versions of its catalog rows show whether
//! it has.

#![allow(unsafe_code)]

use crate::catalog::{
    PG_ATTRIBUTE, PG_CLASS, PG_CONSTRAINT, PG_INDEX, PG_INHERITS_BY_CHILD, PG_INHERITS_BY_PARENT,
    PG_TRIGGER,
};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::ffi::CString;
use std::hash::{Hash, Hasher};

#[cfg(not(feature = "pg13"))]
use pg_sys as invalidation;

/// Declared in a header that pgrx does not cover for PostgreSQL 13.
#[cfg(feature = "pg13")]
#[allow(non_snake_case)]
mod invalidation {
    use pgrx::pg_sys::{Datum, Oid};

    type OfRelation = unsafe extern "C-unwind" fn(Datum, Oid);
    type OfCache = unsafe extern "C-unwind" fn(Datum, i32, u32);

    #[pgrx::pg_guard]
    unsafe extern "C-unwind" {
        pub(super) fn AcceptInvalidationMessages();
        pub(super) fn CacheRegisterRelcacheCallback(called: Option<OfRelation>, argument: Datum);
        pub(super) fn CacheRegisterSyscacheCallback(
            cache: i32,
            called: Option<OfCache>,
            argument: Datum,
        );
    }
}

struct Watched {
    table: Oid,
    /// The hash of its description when it was last checked.
    seen: u64,
    /// PostgreSQL has reported a possible change since then.
    is_suspect: Cell<bool>,
}

thread_local! {
    static WATCHED: RefCell<Vec<Watched>> = const { RefCell::new(Vec::new()) };
    /// Names that no table had, by the hashes that PostgreSQL reports when one gets them.
    static MISSING: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
    static GENERATION: Cell<u64> = const { Cell::new(0) };
    static ANY_SUSPECT: Cell<bool> = const { Cell::new(false) };
}

/// A number that grows whenever a watched table changes. Anything cached under an older number is stale.
pub fn generation() -> u64 {
    while ANY_SUSPECT.replace(false) {
        look_at_suspects();
    }
    GENERATION.get()
}

/// Watches a table from now on. There are few tables, so none is ever removed.
pub fn watch(table: Oid) {
    if WATCHED.with_borrow(|watched| watched.iter().any(|watched| watched.table == table)) {
        return;
    }
    // Read before anything is learned about the table.
    let seen = description(table);
    WATCHED.with_borrow_mut(|watched| {
        watched.push(Watched {
            table,
            seen,
            is_suspect: Cell::new(false),
        });
    });
}

/// Watches for a table with a name that none has; false if it did already. A new schema is noticed anyway.
pub(super) fn watch_for(schema: &str, name: &str) -> bool {
    let [Ok(schema), Ok(name)] = [schema, name].map(CString::new) else {
        return false;
    };
    // SAFETY: both are strings with an end, read here alone; a catalog may be read wherever a query was.
    let hash = unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        pg_sys::GetSysCacheHashValue(
            pg_sys::SysCacheIdentifier::RELNAMENSP as i32,
            Datum::from(name.as_ptr()),
            Datum::from(schema),
            Datum::from(0),
            Datum::from(0),
        )
    };
    MISSING.with_borrow_mut(|missing| missing.insert(hash))
}

#[cold]
fn look_at_suspects() {
    let count = WATCHED.with_borrow(Vec::len);
    for place in 0..count {
        let suspect = WATCHED.with_borrow(|watched| {
            let watched = &watched[place];
            watched.is_suspect.replace(false).then_some(watched.table)
        });
        if let Some(table) = suspect {
            let now = description(table);
            let before =
                WATCHED.with_borrow_mut(|watched| std::mem::replace(&mut watched[place].seen, now));
            if now != before {
                GENERATION.set(GENERATION.get() + 1);
            }
        }
    }
}

/// A hash of the versions of all catalog rows about a table. It changes with every change of the table, but not with statistics.
fn description(table: Oid) -> u64 {
    let mut hasher = DefaultHasher::new();
    for catalog in [
        PG_CLASS,
        PG_ATTRIBUTE,
        PG_TRIGGER,
        PG_INDEX,
        PG_CONSTRAINT,
        PG_INHERITS_BY_CHILD,
        PG_INHERITS_BY_PARENT,
    ] {
        catalog.each(table.to_u32(), |entry| entry.version().hash(&mut hasher));
    }
    hasher.finish()
}

/// Locks a table as a query would.
pub fn lock_for_reading(table: u32) {
    // SAFETY: a transaction lock, released at the end of the transaction; locking a dropped table is harmless.
    unsafe { pg_sys::LockRelationOid(Oid::from(table), pg_sys::AccessShareLock as i32) };
}

/// Locks a table as a statement that locks and writes its rows would.
pub fn lock_for_writing(table: u32) {
    for lock in [pg_sys::RowShareLock, pg_sys::RowExclusiveLock] {
        // SAFETY: as above.
        unsafe { pg_sys::LockRelationOid(Oid::from(table), lock as i32) };
    }
}

/// Processes pending invalidations from other sessions. After waiting for a row, taking a table lock that is already held does
/// not do this, and a partition attached in the meantime would be missed.
pub fn catch_up() {
    // SAFETY: called inside a transaction, where PostgreSQL may do the same whenever it takes a lock.
    unsafe { invalidation::AcceptInvalidationMessages() };
}

/// Registers the callbacks, once per backend.
pub fn init() {
    // SAFETY: the callbacks are static functions with the signatures that PostgreSQL expects.
    unsafe {
        invalidation::CacheRegisterRelcacheCallback(Some(at_invalidation), Datum::from(0));
        invalidation::CacheRegisterSyscacheCallback(
            pg_sys::SysCacheIdentifier::NAMESPACEOID as i32,
            Some(at_schema_change),
            Datum::from(0),
        );
        invalidation::CacheRegisterSyscacheCallback(
            pg_sys::SysCacheIdentifier::RELNAMENSP as i32,
            Some(at_table_change),
            Datum::from(0),
        );
    }
}

/// Renaming a schema changes none of its tables, but cached names contain it.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_schema_change(_arg: Datum, _cache: i32, _hash: u32) {
    GENERATION.set(GENERATION.get() + 1);
}

/// A table that was created, renamed or moved may have a name that was missing. A hash of 0 means any.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_table_change(_arg: Datum, _cache: i32, hash: u32) {
    MISSING.with(|missing| {
        let is_one = missing
            .try_borrow()
            .map_or(true, |missing| hash == 0 || missing.contains(&hash));
        if is_one {
            GENERATION.set(GENERATION.get() + 1);
        }
    });
}

/// PostgreSQL calls this for each table whose cached description became invalid; an invalid OID means all tables. It can be
/// called during any catalog access, so it must not read catalogs.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_invalidation(_arg: Datum, table: Oid) {
    WATCHED.with(|watched| match watched.try_borrow() {
        Ok(watched) => {
            let concerned = |watched: &&Watched| table == Oid::INVALID || watched.table == table;
            for watched in watched.iter().filter(concerned) {
                watched.is_suspect.set(true);
                ANY_SUSPECT.set(true);
            }
        }
        // A table is just being added: treat everything as changed.
        Err(_) => GENERATION.set(GENERATION.get() + 1),
    });
}
