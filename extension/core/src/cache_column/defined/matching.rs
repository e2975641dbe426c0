//! Whether a source row matches, decided from the row itself.
//!
//! A WHEN clause on the trigger could do the same. But PostgreSQL copies and parses the text of each WHEN for every statement:
//! with two definitions, the clauses took longer than everything else when a foreign key deleted the source rows of one target
//! after the other, and a fifth of the cost of updating a single row.

#![allow(unsafe_code)]

use super::condition::Condition;
use crate::error::{CacheColumnError, Result};
use lockstep_server::host::Column;
use lockstep_server::row::Row;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::varsize_any;
use std::ffi::CString;
use std::num::NonZeroUsize;

/// One `column = constant` of a match, ready to test rows.
pub(crate) struct Test {
    number: NonZeroUsize,
    /// The constant as a Datum or what a Datum points to, with enough alignment for any type.
    constant: Box<[u64]>,
    by_value: bool,
    /// Lives in the type cache, whose entries last as long as the backend.
    equality: *mut pg_sys::FmgrInfo,
    collation: Oid,
}

impl Test {
    /// The test of a condition on a table, where the column may have another number.
    pub(crate) fn new(condition: &Condition, column: &Column) -> Result<Self> {
        condition.check_label()?;
        let of_type = column.comparison_oid();
        // A NUL cannot occur in a text that PostgreSQL has stored.
        let text = CString::new(condition.constant().replace('\0', "")).unwrap_or_default();
        // SAFETY: the type exists, because a column has it. Its input function takes a NUL-terminated string, which it does not
        // keep, and returns a value whose length is the type's, or is stored at its beginning.
        unsafe {
            let mut input = Oid::INVALID;
            let mut parameter = Oid::INVALID;
            pg_sys::getTypeInputInfo(of_type, &mut input, &mut parameter);
            let value =
                pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1);
            let stored = if column.by_value {
                Box::from([value.value() as u64])
            } else {
                let start = value.cast_mut_ptr::<u8>();
                let length = match usize::try_from(column.length) {
                    Ok(length) => length,
                    Err(_) => varsize_any(start.cast()),
                };
                let mut stored = vec![0_u64; length.div_ceil(size_of::<u64>())];
                std::ptr::copy_nonoverlapping(start, stored.as_mut_ptr().cast(), length);
                stored.into_boxed_slice()
            };
            let known = pg_sys::lookup_type_cache(of_type, pg_sys::TYPECACHE_EQ_OPR_FINFO as i32);
            if (*known).eq_opr_finfo.fn_addr.is_none() {
                return Err(CacheColumnError::NoEquality {
                    column: column.name.clone(),
                    actual: column.type_name.clone(),
                }
                .into());
            }
            Ok(Self {
                number: column.place(),
                constant: stored,
                by_value: column.by_value,
                equality: &raw mut (*known).eq_opr_finfo,
                collation: Oid::from(column.collation),
            })
        }
    }

    /// Null equals nothing.
    pub(crate) fn is_passed_by(&self, row: &Row) -> bool {
        // SAFETY: the column was looked up for this row's relation after its last change.
        let Some(datum) = (unsafe { row.datum(self.number) }) else {
            return false;
        };
        let constant = match (self.by_value, self.constant.first()) {
            (true, Some(value)) => Datum::from(*value),
            _ => Datum::from(self.constant.as_ptr()),
        };
        // SAFETY: both values have the type that the function compares; it does not change them.
        let answer =
            unsafe { pg_sys::FunctionCall2Coll(self.equality, self.collation, datum, constant) };
        answer.value() & 1 != 0
    }
}
