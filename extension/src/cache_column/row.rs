//! What a trigger sees, read without copying: its argument, and the key of the row it fired for.

#![allow(unsafe_code)]

use crate::error::{Error, Result};
use crate::host::IntegerWidth;
use pgrx::htup::heap_getattr_raw;
use pgrx::pg_sys;
use pgrx::prelude::PgTrigger;
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
        // SAFETY: the tuple belongs to the relation of the descriptor, and the number to one of its columns, whose
        // type has the width given: all three were looked up for this relation since its last change.
        let datum = unsafe { heap_getattr_raw(self.tuple, number, self.descriptor)? };
        let bits = datum.value();
        Some(match width {
            IntegerWidth::Two => i64::from(bits as i16),
            IntegerWidth::Four => i64::from(bits as i32),
            IntegerWidth::Eight => bits as i64,
        })
    }

    /// Whether this version of the row was the current one when the trigger fired. If the transaction changed it again
    /// meanwhile, in a trigger of the host for example, this version says nothing about what the row is now.
    pub(super) fn is_latest(&self) -> bool {
        // SAFETY: the header is a copy of the one on the page, made when the trigger fired.
        let flags = u32::from(unsafe { (*(*self.tuple).t_data).t_infomask });
        flags & (pg_sys::HEAP_XMAX_INVALID | pg_sys::HEAP_XMAX_LOCK_ONLY) != 0
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
