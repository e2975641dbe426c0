//! What a trigger sees, read without copying: its arguments, and the key of the row it fired for.

#![allow(unsafe_code)]

use crate::host::{Column, IntegerWidth};
use pgrx::datum::FromDatum;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::PgTrigger;
use pgrx::varsize_any;
use std::borrow::Cow;
use std::ffi::CStr;
use std::num::NonZeroUsize;

/// The row a row trigger fired for, valid while the trigger runs.
pub struct Row {
    tuple: *mut pg_sys::HeapTupleData,
    /// Holds the same row, and keeps its columns once they have been taken apart.
    slot: *mut pg_sys::TupleTableSlot,
}

impl Row {
    /// The row as it is now: what was inserted, or the new version of an update.
    pub fn new_of(trigger: &PgTrigger) -> Self {
        let data = trigger.trigger_data();
        if data.tg_newtuple.is_null() {
            Self::of(data.tg_trigtuple, data.tg_trigslot)
        } else {
            Self::of(data.tg_newtuple, data.tg_newslot)
        }
    }

    /// The row as it was: what was deleted, or the old version of an update.
    fn old_of(trigger: &PgTrigger) -> Self {
        let data = trigger.trigger_data();
        Self::of(data.tg_trigtuple, data.tg_trigslot)
    }

    /// What there is of both versions, the old one first.
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

    /// The integer in the column of that number, unless it is null.
    pub fn integer(&self, number: NonZeroUsize, width: IntegerWidth) -> Option<i64> {
        // SAFETY: number and width of the column were looked up for this relation since its last change.
        let datum = unsafe { self.datum(number)? };
        Some(width.integer(datum.value()))
    }

    /// The text in the column of that number, unless it is null.
    pub fn text(&self, column: &Stored) -> Option<String> {
        // SAFETY: the column was looked up for this relation since its last change, with its type, whose output function is
        // PostgreSQL's or that of a superuser; what that returns is a string in memory of the call.
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

    /// The value in the column of that number, unless it is null.
    pub fn value<T: FromDatum>(&self, column: &Stored) -> Option<T> {
        // SAFETY: the column was looked up for this relation since its last change, as one of that type.
        unsafe { T::from_datum(self.datum(column.number)?, false) }
    }

    /// Whether both versions of the row have the same bytes in these columns. Values that are equal but stored in another
    /// form count as different, which costs a look and changes nothing.
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
    /// The number is that of a column of this row.
    pub unsafe fn datum(&self, number: NonZeroUsize) -> Option<pg_sys::Datum> {
        let (number, index) = (number.get(), number.get() - 1);
        // SAFETY: the slot holds the row, whose table has a column of that number; the arrays have room for all columns.
        unsafe {
            if usize::from((*self.slot).tts_nvalid as u16) < number {
                pg_sys::slot_getsomeattrs_int(self.slot, number as i32);
            }
            (!*(*self.slot).tts_isnull.add(index)).then(|| *(*self.slot).tts_values.add(index))
        }
    }

    /// Whether this version of the row was the current one when the trigger fired. If the transaction changed it again
    /// meanwhile, in a trigger of the host for example, this version says nothing about what the row is now.
    pub fn is_latest(&self) -> bool {
        // SAFETY: the header is a copy of the one on the page, made when the trigger fired.
        let flags = u32::from(unsafe { (*(*self.tuple).t_data).t_infomask });
        flags & (pg_sys::HEAP_XMAX_INVALID | pg_sys::HEAP_XMAX_LOCK_ONLY) != 0
    }
}

/// A column, as far as it takes to compare what is stored in it.
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

/// The arguments of a trigger.
pub fn arguments<'a>(trigger: &'a PgTrigger) -> impl Iterator<Item = Cow<'a, str>> {
    let trigger = trigger.trigger();
    let count = usize::try_from(trigger.tgnargs).unwrap_or_default();
    (0..count).map(|place| {
        // SAFETY: there are so many arguments, NUL-terminated strings that live as long as the trigger's description.
        unsafe { CStr::from_ptr(*trigger.tgargs.add(place)) }.to_string_lossy()
    })
}

/// Whether this backend applies changes of a subscription. It fires row triggers only, never statement triggers.
pub fn is_logical_worker() -> bool {
    // SAFETY: reads a global of the process.
    unsafe { pg_sys::IsLogicalWorker() }
}

/// Whether triggers fire that are enabled for replicas, and of the others only those that are enabled always.
pub fn is_replica() -> bool {
    // SAFETY: reads a global of the process.
    unsafe { pg_sys::SessionReplicationRole == pg_sys::SESSION_REPLICATION_ROLE_REPLICA as i32 }
}
