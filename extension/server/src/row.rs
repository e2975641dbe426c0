//! What a trigger receives, read without copying: its arguments, and the key of its row.

#![allow(unsafe_code)]

use crate::host::{Column, IntegerWidth};
use pgrx::datum::FromDatum;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::PgTrigger;
use pgrx::varsize_any;
use std::borrow::Cow;
use std::ffi::CStr;
use std::num::NonZeroUsize;

/// The row that a row trigger fired for; valid while the trigger runs.
pub struct Row {
    tuple: *mut pg_sys::HeapTupleData,
    /// Holds the same row and caches its columns once they are deformed.
    slot: *mut pg_sys::TupleTableSlot,
}

impl Row {
    /// The new version of the row: inserted or updated.
    pub fn new_of(trigger: &PgTrigger) -> Self {
        let data = trigger.trigger_data();
        if data.tg_newtuple.is_null() {
            Self::of(data.tg_trigtuple, data.tg_trigslot)
        } else {
            Self::of(data.tg_newtuple, data.tg_newslot)
        }
    }

    /// The old version of the row: deleted or updated.
    fn old_of(trigger: &PgTrigger) -> Self {
        let data = trigger.trigger_data();
        Self::of(data.tg_trigtuple, data.tg_trigslot)
    }

    /// Both versions as far as they exist, the old one first.
    pub fn versions_of(trigger: &PgTrigger) -> (Option<Self>, Option<Self>) {
        let event = trigger.event();
        (
            (!event.fired_by_insert()).then(|| Self::old_of(trigger)),
            (!event.fired_by_delete()).then(|| Self::new_of(trigger)),
        )
    }

    fn of(tuple: *mut pg_sys::HeapTupleData, slot: *mut pg_sys::TupleTableSlot) -> Self {
        assert!(
            !tuple.is_null() && !slot.is_null(),
            "a row trigger is given the row it fires for"
        );
        Self { tuple, slot }
    }

    /// The integer in that column, unless it is null.
    pub fn integer(&self, number: NonZeroUsize, width: IntegerWidth) -> Option<i64> {
        // SAFETY: the column's number and width were looked up for this relation after its last change.
        let datum = unsafe { self.datum(number)? };
        Some(width.integer(datum.value()))
    }

    /// The text in that column, unless it is null.
    pub fn text(&self, column: &Stored) -> Option<String> {
        // SAFETY: the column was looked up for this relation after its last change, with its type, whose output function is
        // PostgreSQL's or a superuser's and returns a string in the call's memory.
        unsafe {
            let datum = self.datum(column.number)?;
            match [pg_sys::TEXTOID, pg_sys::VARCHAROID].contains(&column.type_oid) {
                true => String::from_datum(datum, false),
                false => {
                    let (mut output, mut is_varlena) = (Oid::INVALID, false);
                    pg_sys::getTypeOutputInfo(column.type_oid, &mut output, &mut is_varlena);
                    let text = CStr::from_ptr(pg_sys::OidOutputFunctionCall(output, datum));
                    Some(text.to_string_lossy().into_owned())
                }
            }
        }
    }

    /// The value in that column, unless it is null.
    pub fn value<T: FromDatum>(&self, column: &Stored) -> Option<T> {
        // SAFETY: the column was looked up for this relation after its last change, with this type.
        unsafe { T::from_datum(self.datum(column.number)?, false) }
    }

    /// Whether both versions have the same bytes in these columns. Equal values stored differently count as different, which only
    /// costs an extra check.
    pub fn has_same(&self, other: &Self, columns: &[Stored]) -> bool {
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
    /// The number belongs to a column of this row.
    pub unsafe fn datum(&self, number: NonZeroUsize) -> Option<pg_sys::Datum> {
        let (number, index) = (number.get(), number.get() - 1);
        // SAFETY: the slot holds the row, whose table has that column; the arrays have room for all columns.
        unsafe {
            if usize::from((*self.slot).tts_nvalid as u16) < number {
                pg_sys::slot_getsomeattrs_int(self.slot, number as i32);
            }
            (!*(*self.slot).tts_isnull.add(index)).then(|| *(*self.slot).tts_values.add(index))
        }
    }

    /// Whether this version of the row was current when the trigger fired. If the transaction has changed it again since, for
    /// example in an application trigger, this version does not describe the row as it is now.
    pub fn is_latest(&self) -> bool {
        // SAFETY: the header is a copy of the page's, made when the trigger fired.
        let flags = u32::from(unsafe { (*(*self.tuple).t_data).t_infomask });
        flags & (pg_sys::HEAP_XMAX_INVALID | pg_sys::HEAP_XMAX_LOCK_ONLY) != 0
    }
}

/// A column, as far as needed to compare stored values.
pub struct Stored {
    number: NonZeroUsize,
    by_value: bool,
    length: i16,
    type_oid: Oid,
}

impl Stored {
    pub fn number(&self) -> NonZeroUsize {
        self.number
    }

    pub fn new(column: &Column) -> Self {
        Self {
            number: column.place(),
            by_value: column.by_value,
            length: column.length,
            type_oid: column.type_oid(),
        }
    }

    /// # Safety
    ///
    /// `datum` is a value of this column, passed by reference.
    unsafe fn bytes<'a>(&self, datum: pg_sys::Datum) -> &'a [u8] {
        let start = datum.cast_mut_ptr::<u8>();
        // SAFETY: a positive length holds for every value; otherwise the value starts with its length.
        unsafe {
            let length = match usize::try_from(self.length) {
                Ok(length) => length,
                Err(_) => varsize_any(start.cast()),
            };
            std::slice::from_raw_parts(start, length)
        }
    }
}

/// The arguments of a trigger.
pub fn arguments<'a>(trigger: &'a PgTrigger) -> impl Iterator<Item = Cow<'a, str>> {
    let trigger = trigger.trigger();
    let count = usize::try_from(trigger.tgnargs).unwrap_or_default();
    (0..count).map(|place| {
        // SAFETY: there are this many arguments, NUL-terminated strings that live as long as the trigger's description.
        unsafe { CStr::from_ptr(*trigger.tgargs.add(place)) }.to_string_lossy()
    })
}

/// Whether this backend applies a subscription's changes. It fires row triggers only, never statement triggers.
pub fn is_logical_worker() -> bool {
    // SAFETY: reads a process-wide variable.
    unsafe { pg_sys::IsLogicalWorker() }
}

/// Whether session_replication_role is replica: only triggers enabled for replicas or always fire.
pub fn is_replica() -> bool {
    // SAFETY: reads a process-wide variable.
    unsafe { pg_sys::SessionReplicationRole == pg_sys::SESSION_REPLICATION_ROLE_REPLICA as i32 }
}
