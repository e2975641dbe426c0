//! What a trigger sees, read without copying: its argument, and the key of the row it fired for.

#![allow(unsafe_code)]

use crate::error::{Error, Result};
use crate::host::{Column, IntegerWidth};
use pgrx::htup::heap_getattr_raw;
use pgrx::pg_sys;
use pgrx::prelude::PgTrigger;
use pgrx::varsize_any;
use std::ffi::CStr;
use std::num::NonZeroUsize;

/// The row a row trigger fired for, valid while the trigger runs.
pub(super) struct Row {
    tuple: *mut pg_sys::HeapTupleData,
    descriptor: pg_sys::TupleDesc,
}

impl Row {
    /// The row as it is now: what was inserted, or the new version of an update.
    pub(super) fn new_of(trigger: &PgTrigger) -> Self {
        let data = trigger.trigger_data();
        let tuple = if data.tg_newtuple.is_null() {
            data.tg_trigtuple
        } else {
            data.tg_newtuple
        };
        Self::of(data, tuple)
    }

    /// The row as it was: what was deleted, or the old version of an update.
    pub(super) fn old_of(trigger: &PgTrigger) -> Self {
        let data = trigger.trigger_data();
        Self::of(data, data.tg_trigtuple)
    }

    /// The other version of the row, if the trigger fired for an update.
    pub(super) fn other_version(trigger: &PgTrigger, this: &Self) -> Option<Self> {
        let data = trigger.trigger_data();
        let is_update = !data.tg_newtuple.is_null();
        is_update.then(|| match this.tuple == data.tg_newtuple {
            true => Self::old_of(trigger),
            false => Self::new_of(trigger),
        })
    }

    fn of(data: &pg_sys::TriggerData, tuple: *mut pg_sys::HeapTupleData) -> Self {
        assert!(
            !tuple.is_null(),
            "a row trigger is given the row it fires for"
        );
        // SAFETY: PostgreSQL fills in the relation for the time the trigger runs.
        let descriptor = unsafe { (*data.tg_relation).rd_att };
        Self { tuple, descriptor }
    }

    /// The integer in the column of that number, unless it is null.
    pub(super) fn integer(&self, number: NonZeroUsize, width: IntegerWidth) -> Option<i64> {
        // SAFETY: number and width of the column were looked up for this relation since its last change.
        let datum = unsafe { self.datum(number)? };
        Some(width.integer(datum.value()))
    }

    /// Whether both versions of the row have the same bytes in these columns. Values that are equal but stored in another
    /// form count as different, which costs a look and changes nothing.
    pub(super) fn has_same(&self, other: &Self, columns: &[Stored]) -> bool {
        // SAFETY: both tuples belong to the relation that the columns were looked up for.
        columns.iter().all(|column| unsafe {
            match (self.datum(column.number), other.datum(column.number)) {
                (None, None) => true,
                (Some(one), Some(other)) if column.by_value => one == other,
                (Some(one), Some(other)) => column.bytes(one) == column.bytes(other),
                _ => false,
            }
        })
    }

    /// # Safety
    ///
    /// The number is that of a column of this row.
    unsafe fn datum(&self, number: NonZeroUsize) -> Option<pg_sys::Datum> {
        // SAFETY: the tuple belongs to the relation of the descriptor.
        unsafe { heap_getattr_raw(self.tuple, number, self.descriptor) }
    }

    /// Whether this version of the row was the current one when the trigger fired. If the transaction changed it again
    /// meanwhile, in a trigger of the host for example, this version says nothing about what the row is now.
    pub(super) fn is_latest(&self) -> bool {
        // SAFETY: the header is a copy of the one on the page, made when the trigger fired.
        let flags = u32::from(unsafe { (*(*self.tuple).t_data).t_infomask });
        flags & (pg_sys::HEAP_XMAX_INVALID | pg_sys::HEAP_XMAX_LOCK_ONLY) != 0
    }
}

/// A column, as far as it takes to compare what is stored in it.
pub(super) struct Stored {
    number: NonZeroUsize,
    by_value: bool,
    length: i16,
}

impl Stored {
    pub(super) fn new(column: &Column) -> Self {
        Self {
            number: column.place(),
            by_value: column.by_value,
            length: column.length,
        }
    }

    /// # Safety
    ///
    /// `datum` is a value of this column, which is not passed by value.
    unsafe fn bytes<'a>(&self, datum: pg_sys::Datum) -> &'a [u8] {
        let start = datum.cast_mut_ptr::<u8>();
        // SAFETY: a positive length is that of each value; otherwise the value begins with its own length.
        unsafe {
            let length = match usize::try_from(self.length) {
                Ok(length) => length,
                Err(_) => varsize_any(start.cast()),
            };
            std::slice::from_raw_parts(start, length)
        }
    }
}

/// The number of the definition that the trigger carries as its only argument.
pub(super) fn definition_argument(trigger: &PgTrigger) -> Result<i32> {
    let trigger = trigger.trigger();
    let argument = if trigger.tgnargs == 1 {
        // SAFETY: there is one argument, a NUL-terminated string that lives as long as the trigger's description.
        unsafe { CStr::from_ptr(*trigger.tgargs) }
            .to_string_lossy()
            .into_owned()
    } else {
        String::new()
    };
    argument
        .parse()
        .map_err(|_| Error::BadTriggerArgument { argument })
}

/// Whether this backend applies changes of a subscription. It fires row triggers only, never statement triggers.
pub(super) fn is_logical_worker() -> bool {
    // SAFETY: reads a global of the process.
    unsafe { pg_sys::IsLogicalWorker() }
}
