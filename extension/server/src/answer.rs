//! What a query answers with, read as the types that it is expected to have.

#![allow(unsafe_code)]

use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use std::ffi::CStr;

/// One row of a query's answer, taken apart at once: each call into PostgreSQL sets up a guard against its errors, which for
/// one call a column would cost more than the rest.
pub struct Answer {
    pub(super) values: Vec<Datum>,
    pub(super) are_null: Vec<bool>,
    pub(super) types: Vec<Oid>,
}

impl Answer {
    /// The value of a column, which counts from one and must be of type `T`; what is not passed by value is copied.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Option<T> {
        check_type::<T>(self.types[column - 1]);
        // SAFETY: the value belongs to a row that lives until `Statement::rows` has had it read, and is stored as a `T` is.
        unsafe { T::from_datum(self.values[column - 1], self.are_null[column - 1]) }
    }
}

/// The first columns of the first row of the statement just run, which is freed.
pub(super) fn first_row<T: FromDatum + IntoDatum, const N: usize>() -> Option<[Option<T>; N]> {
    // SAFETY: SPI_tuptable is the result of the statement just run, or null; values are read with the row's own
    // descriptor, copied into Rust's memory by from_datum for types that are not passed by value, and the table freed after.
    unsafe {
        let table = pg_sys::SPI_tuptable;
        let row = (pg_sys::SPI_processed > 0 && !table.is_null()).then(|| {
            let tuple = *(*table).vals;
            std::array::from_fn(|column| {
                let mut is_null = false;
                check_type::<T>(pg_sys::SPI_gettypeid((*table).tupdesc, column as i32 + 1));
                let datum =
                    pg_sys::SPI_getbinval(tuple, (*table).tupdesc, column as i32 + 1, &mut is_null);
                T::from_datum(datum, is_null)
            })
        });
        pg_sys::SPI_freetuptable(table);
        row
    }
}

/// Refuses to read a value as something that it is not: whoever owns a table of the host chooses the types of its columns.
fn check_type<T: IntoDatum>(found: Oid) {
    // SAFETY: looks up what a domain is of, and answers every other type itself.
    if !fits::<T>(found) && !fits::<T>(unsafe { pg_sys::getBaseType(found) }) {
        // SAFETY: the answer is a string in memory of the statement, whatever the type.
        let name = unsafe { CStr::from_ptr(pg_sys::format_type_be(found)) };
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
            format!(
                "lockstep does not read columns of type {} where it expects another one",
                name.to_string_lossy()
            )
        );
    }
}

/// Whether values of that type are stored as those of `T` are.
fn fits<T: IntoDatum>(found: Oid) -> bool {
    const TEXTS: [Oid; 4] = [
        pg_sys::TEXTOID,
        pg_sys::VARCHAROID,
        pg_sys::BPCHAROID,
        pg_sys::JSONOID,
    ];
    const ARRAYS: [Oid; 2] = [pg_sys::TEXTARRAYOID, pg_sys::VARCHARARRAYOID];
    let wanted = T::type_oid();
    T::is_compatible_with(found)
        || [&TEXTS[..], &ARRAYS[..]]
            .iter()
            .any(|alike| alike.contains(&wanted) && alike.contains(&found))
}
