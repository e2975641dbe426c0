//! The result of a query, read as the types it is expected to have.

#![allow(unsafe_code)]

use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use std::ffi::CStr;

/// One row of a query's result, read in one go: each call into PostgreSQL sets up an error guard, and one guard per column would
/// cost more than the rest.
pub struct Answer {
    pub(super) values: Vec<Datum>,
    pub(super) are_null: Vec<bool>,
    pub(super) types: Vec<Oid>,
}

impl Answer {
    /// The value of a column (counted from one), which must be of type `T`. Values passed by reference are copied.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: usize) -> Option<T> {
        check_type::<T>(self.types[column - 1]);
        // SAFETY: the value belongs to a row that lives until `Statement::rows` has read it, and is stored as a `T`.
        unsafe { T::from_datum(self.values[column - 1], self.are_null[column - 1]) }
    }
}

/// The first columns of the first row of the last statement; frees the result.
pub(super) fn first_row<T: FromDatum + IntoDatum, const N: usize>() -> Option<[Option<T>; N]> {
    // SAFETY: SPI_tuptable is the result of the last statement, or null. Values are read with the row's own descriptor;
    // from_datum copies those passed by reference into Rust's memory before the table is freed.
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

/// Refuses to read a value as a type it does not have: the owner of an application table chooses the types of its columns.
fn check_type<T: IntoDatum>(found: Oid) {
    // SAFETY: returns the base type of a domain, and every other type unchanged.
    if !fits::<T>(found) && !fits::<T>(unsafe { pg_sys::getBaseType(found) }) {
        // SAFETY: returns a string in the statement's memory for any type.
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

/// Whether values of that type are stored like those of `T`.
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
