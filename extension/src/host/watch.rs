//! Notices when a table that a backend has knowledge of changes: renamed, a column or trigger added, dropped, moved.

use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::{Cell, RefCell};

thread_local! {
    static WATCHED: RefCell<Vec<Oid>> = const { RefCell::new(Vec::new()) };
    static GENERATION: Cell<u64> = const { Cell::new(0) };
}

/// A number that grows whenever a watched table changes. What was learned under an older number is stale.
pub(crate) fn generation() -> u64 {
    GENERATION.get()
}

/// Watches a table from now on. Tables are few, so none is ever forgotten.
pub(crate) fn watch(table: Oid) {
    WATCHED.with_borrow_mut(|watched| {
        if !watched.contains(&table) {
            watched.push(table);
        }
    });
}

/// Learns what other sessions have done to tables by now: after waiting for a row, a lock on a table that this
/// transaction holds already is no occasion to, and a partition that was attached meanwhile would be missed.
#[allow(unsafe_code)]
pub(crate) fn catch_up() {
    // SAFETY: called inside a transaction, where PostgreSQL itself may do so at any lock it takes.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// Registers the callbacks, once for the life of the backend.
#[allow(unsafe_code)]
pub(crate) fn init() {
    // SAFETY: the callbacks are static functions of the signatures PostgreSQL asks for.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(at_invalidation), Datum::from(0));
        pg_sys::CacheRegisterSyscacheCallback(
            pg_sys::SysCacheIdentifier::NAMESPACEOID as i32,
            Some(at_schema_change),
            Datum::from(0),
        );
    }
}

/// A schema that is renamed changes none of its tables, but what is remembered of them names it.
#[allow(unsafe_code)]
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_schema_change(_arg: Datum, _cache: i32, _hash: u32) {
    GENERATION.set(GENERATION.get() + 1);
}

/// Called by PostgreSQL for each table whose cached description has become invalid; an invalid OID stands for all.
#[allow(unsafe_code)]
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_invalidation(_arg: Datum, table: Oid) {
    // It may be called at any catalog access, even while a table is being added here: then all counts as changed.
    let concerned = WATCHED.with(|watched| match watched.try_borrow() {
        Ok(watched) => table == Oid::INVALID || watched.contains(&table),
        Err(_) => true,
    });
    if concerned {
        GENERATION.set(GENERATION.get() + 1);
    }
}
