//! One target row, found by its key and locked without a statement: setting up and tearing down a statement takes longer than the
//! rest where a flush is about a single key, as most are that are no bulk work, and each of those that a cascade starts.
//!
//! It does what `select .. for no key update` does in READ COMMITTED. Where that may not be all, it answers that it cannot
//! tell, and the statement is run.

#![allow(unsafe_code)]

use super::definition::Resolved;
use crate::host::{IntegerWidth, generation};
use pgrx::pg_sys::{self, Datum, LockTupleMode, LockWaitPolicy, Oid, TM_Result};
use std::num::NonZeroUsize;

/// How to find a row of the target.
pub(super) struct TargetRow {
    table: Oid,
    primary_index: Oid,
    key: NonZeroUsize,
    width: IntegerWidth,
    column: NonZeroUsize,
    /// That of the knowledge that the numbers come from.
    generation: u64,
}

/// A target row as a new statement would see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Absent,
    /// The value of the cache column.
    Present(Option<bool>),
}

impl TargetRow {
    /// For a plain table of PostgreSQL's own access method, with a key that is checked at once.
    pub(super) fn of(resolved: &Resolved, generation: u64) -> Option<Self> {
        let target = &resolved.target;
        let primary_index = target.immediate_primary_index?;
        (target.is_heap() && !target.is_partitioned()).then_some(Self {
            table: Oid::from(target.oid),
            primary_index: Oid::from(primary_index),
            key: resolved.primary_key.place(),
            width: resolved.primary_key.integer_width()?,
            column: resolved.column.place(),
            generation,
        })
    }

    /// The row as it is, not locked. `None`: it cannot tell.
    pub(super) fn see(&self, key: i64) -> Option<Seen> {
        self.search(key, |_, found| Some(found.seen(self)))
    }

    /// The row, locked as an update of the column locks it until the transaction ends; waits for whoever holds it.
    pub(super) fn lock(&self, key: i64) -> Option<Seen> {
        self.search(key, |table, found| table.lock(self, key, found))
    }

    fn search(&self, key: i64, then: impl FnOnce(&Table, &Slot) -> Option<Seen>) -> Option<Seen> {
        // SAFETY: reads a global of the process.
        if unsafe { pg_sys::XactIsoLevel } >= pg_sys::XACT_REPEATABLE_READ as i32 {
            // What the transaction's own snapshot does not see is then a serialization failure.
            return None;
        }
        let Some((equality, argument)) = self.argument(key) else {
            return Some(Seen::Absent);
        };
        // SAFETY: the table is one that exists, as the flush is about it; it stays locked until the transaction ends, as a
        // statement would leave it. The generation is read once that lock has been taken, and still the one of our
        // knowledge, so the index is one of this table, and the columns have these numbers. All that is opened is
        // closed below; what an error leaves open, the abort closes.
        unsafe {
            let table = Table(pg_sys::table_open(self.table, pg_sys::RowShareLock as i32));
            let seen = (generation() == self.generation)
                .then(|| table.search(self.primary_index, equality, argument, then))
                .flatten();
            pg_sys::table_close(table.0, pg_sys::NoLock as i32);
            seen
        }
    }

    /// The function that compares keys of the primary key's own type, and the key as one of it, if it can be one.
    fn argument(&self, key: i64) -> Option<(u32, Datum)> {
        Some(match self.width {
            IntegerWidth::Two => (pg_sys::F_INT2EQ, Datum::from(i16::try_from(key).ok()?)),
            IntegerWidth::Four => (pg_sys::F_INT4EQ, Datum::from(i32::try_from(key).ok()?)),
            IntegerWidth::Eight => (pg_sys::F_INT8EQ, Datum::from(key)),
        })
    }
}

/// A table that is open and locked.
struct Table(pg_sys::Relation);

impl Table {
    /// # Safety
    ///
    /// The index is one of this table, with a single key column that the function compares with the argument.
    unsafe fn search(
        &self,
        index: Oid,
        equality: u32,
        argument: Datum,
        then: impl FnOnce(&Self, &Slot) -> Option<Seen>,
    ) -> Option<Seen> {
        // SAFETY: see above; the snapshot is the active one, and outlives the scan.
        unsafe {
            // So that it sees what this very command has changed.
            pg_sys::CommandCounterIncrement();
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
            let index = pg_sys::index_open(index, pg_sys::AccessShareLock as i32);
            let mut condition = pg_sys::ScanKeyData::default();
            pg_sys::ScanKeyInit(
                &mut condition,
                1,
                pg_sys::BTEqualStrategyNumber as u16,
                Oid::from(equality),
                argument,
            );
            let found = Slot::of(self);
            let scan = begin_scan(self.0, index);
            pg_sys::index_rescan(scan, &mut condition, 1, std::ptr::null_mut(), 0);
            let is_found = pg_sys::index_getnext_slot(
                scan,
                pg_sys::ScanDirection::ForwardScanDirection,
                found.0,
            );
            let seen = match is_found {
                true => then(self, &found),
                false => Some(Seen::Absent),
            };
            pg_sys::index_endscan(scan);
            found.close();
            pg_sys::index_close(index, pg_sys::NoLock as i32);
            pg_sys::PopActiveSnapshot();
            seen
        }
    }

    // Calling the access method by its pointer is calling into C: the guard turns an error of PostgreSQL into an
    // unwinding of Rust.
    #[allow(ffi_unwind_calls)]
    fn lock(&self, row: &TargetRow, key: i64, found: &Slot) -> Option<Seen> {
        // SAFETY: the slot holds a row of this table, seen by the active snapshot; it is not touched while the row is locked
        // through a slot of its own. The access method of an open table is filled in.
        unsafe {
            let tuple_lock = (*(*self.0).rd_tableam).tuple_lock?;
            let mut place = (*found.0).tts_tid;
            let mut failure = pg_sys::TM_FailureData::default();
            let flags = pg_sys::TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS
                | pg_sys::TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
            let locked = Slot::of(self);
            let result = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                tuple_lock(
                    self.0,
                    &mut place,
                    pg_sys::GetActiveSnapshot(),
                    locked.0,
                    pg_sys::GetCurrentCommandId(true),
                    LockTupleMode::LockTupleNoKeyExclusive,
                    LockWaitPolicy::LockWaitBlock,
                    flags as u8,
                    &mut failure,
                )
            });
            let seen = match result {
                // Another version than the one found can have another key.
                TM_Result::TM_Ok if locked.key(row) == Some(key) => Some(locked.seen(row)),
                TM_Result::TM_Ok | TM_Result::TM_Deleted => Some(Seen::Absent),
                _ => None,
            };
            locked.close();
            seen
        }
    }
}

#[cfg(not(feature = "pg18"))]
unsafe fn begin_scan(table: pg_sys::Relation, index: pg_sys::Relation) -> pg_sys::IndexScanDesc {
    // SAFETY: the caller has both open and an active snapshot.
    unsafe { pg_sys::index_beginscan(table, index, pg_sys::GetActiveSnapshot(), 1, 0) }
}

#[cfg(feature = "pg18")]
unsafe fn begin_scan(table: pg_sys::Relation, index: pg_sys::Relation) -> pg_sys::IndexScanDesc {
    let uncounted = std::ptr::null_mut();
    // SAFETY: the caller has both open and an active snapshot.
    unsafe {
        let snapshot = pg_sys::GetActiveSnapshot();
        pg_sys::index_beginscan(table, index, snapshot, uncounted, 1, 0)
    }
}

/// A place for one row of a table.
struct Slot(*mut pg_sys::TupleTableSlot);

impl Slot {
    fn of(table: &Table) -> Self {
        // SAFETY: the table is open.
        Self(unsafe { pg_sys::table_slot_create(table.0, std::ptr::null_mut()) })
    }

    fn close(self) {
        // SAFETY: the slot was created by `of` and is not used any more.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.0) }
    }

    fn seen(&self, row: &TargetRow) -> Seen {
        Seen::Present(self.datum(row.column).map(|datum| datum.value() & 1 != 0))
    }

    fn key(&self, row: &TargetRow) -> Option<i64> {
        let bits = self.datum(row.key)?.value();
        Some(row.width.integer(bits))
    }

    /// The value in the column of that number, unless it is null.
    fn datum(&self, number: NonZeroUsize) -> Option<Datum> {
        let (number, index) = (number.get(), number.get() - 1);
        // SAFETY: the slot holds a row, and the table has a column of that number; the arrays have room for all columns.
        unsafe {
            if usize::from((*self.0).tts_nvalid as u16) < number {
                pg_sys::slot_getsomeattrs_int(self.0, number as i32);
            }
            (!*(*self.0).tts_isnull.add(index)).then(|| *(*self.0).tts_values.add(index))
        }
    }
}
