//! Whether a row of the source matches, told from the row itself.
//!
//! A WHEN clause on the trigger would say the same. But PostgreSQL copies and parses the text of each WHEN anew for every
//! statement, so that the clauses of two definitions took longer than all else where a foreign key deletes the source
//! rows of one target after the other, and a fifth of what keeping the columns cost for an update of a single row.

#![allow(unsafe_code)]

use super::definition::Condition;
use crate::error::{Error, Result};
use crate::host::Column;
use crate::row::Row;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{
    varatt_is_1b, varatt_is_1b_e, varatt_is_4b_u, vardata_any, varsize_any, varsize_any_exhdr,
};
use std::ffi::CString;
use std::num::NonZeroUsize;

/// One `column = constant` of a match, ready to be asked of a row.
pub(super) struct Test {
    number: NonZeroUsize,
    expected: Expected,
}

enum Expected {
    Boolean(bool),
    /// Text that is equal only if its bytes are, and what compares a value that is not stored in plain bytes.
    Bytes(Box<[u8]>, Constant),
    Other(Constant),
}

/// A constant, and how its type compares it.
struct Constant {
    /// What a Datum of the type is or points to, aligned as any type wants it.
    stored: Box<[u64]>,
    by_value: bool,
    /// In the type cache, whose entries live as long as the backend.
    equality: *mut pg_sys::FmgrInfo,
    collation: Oid,
}

impl Test {
    /// The test of a condition in a table, whose column it is, by whatever number.
    pub(super) fn new(condition: &Condition, column: &Column) -> Result<Self> {
        let expected = match condition.constant() {
            "true" if column.is_boolean() => Expected::Boolean(true),
            "false" if column.is_boolean() => Expected::Boolean(false),
            constant if is_text_of_bytes(column) => Expected::Bytes(
                Box::from(constant.as_bytes()),
                Constant::new(constant, column)?,
            ),
            constant => Expected::Other(Constant::new(constant, column)?),
        };
        Ok(Self {
            number: column.place(),
            expected,
        })
    }

    /// Null equals nothing.
    pub(super) fn is_passed_by(&self, row: &Row) -> bool {
        // SAFETY: the column was looked up for the relation of this row, since its last change.
        let Some(datum) = (unsafe { row.datum(self.number) }) else {
            return false;
        };
        match &self.expected {
            Expected::Boolean(expected) => (datum.value() & 1 != 0) == *expected,
            // SAFETY: the column is of type text, so the value is a varlena.
            Expected::Bytes(bytes, constant) => match unsafe { plain_bytes(datum) } {
                Some(found) => found == &**bytes,
                None => constant.equals(datum),
            },
            Expected::Other(constant) => constant.equals(datum),
        }
    }
}

impl Constant {
    fn new(text: &str, column: &Column) -> Result<Self> {
        let of_type = column.comparison_oid();
        // A NUL cannot occur in a text that PostgreSQL itself has stored.
        let text = CString::new(text.replace('\0', "")).unwrap_or_default();
        // SAFETY: the type is that of a column, so it exists; its input function takes a NUL-terminated string that it does not
        // keep, and answers a value of the length that the type has, or that stands at its beginning.
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
                return Err(Error::NoEquality {
                    column: column.name.clone(),
                    actual: column.type_name.clone(),
                });
            }
            Ok(Self {
                stored,
                by_value: column.by_value,
                equality: &raw mut (*known).eq_opr_finfo,
                collation: Oid::from(column.collation),
            })
        }
    }

    fn equals(&self, datum: Datum) -> bool {
        let constant = match (self.by_value, self.stored.first()) {
            (true, Some(value)) => Datum::from(*value),
            _ => Datum::from(self.stored.as_ptr()),
        };
        // SAFETY: both are values of the type that the function compares, which leaves them as they are.
        let answer =
            unsafe { pg_sys::FunctionCall2Coll(self.equality, self.collation, datum, constant) };
        answer.value() & 1 != 0
    }
}

/// Whether it is text of a collation in which only the same bytes are equal.
fn is_text_of_bytes(column: &Column) -> bool {
    // SAFETY: a column of text has a collation, which the catalog is asked for.
    column.is_text()
        && unsafe { pg_sys::get_collation_isdeterministic(Oid::from(column.collation)) }
}

/// The bytes of a text that is stored neither compressed nor out of line.
///
/// # Safety
///
/// The value is a varlena, which lives as long as the slice is used.
unsafe fn plain_bytes<'a>(datum: Datum) -> Option<&'a [u8]> {
    let start = datum.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: the header tells how the value is stored, and its length.
    unsafe {
        let is_short = varatt_is_1b(start) && !varatt_is_1b_e(start);
        (is_short || varatt_is_4b_u(start)).then(|| {
            let (data, length) = (vardata_any(start), varsize_any_exhdr(start));
            std::slice::from_raw_parts(data.cast::<u8>(), length)
        })
    }
}
