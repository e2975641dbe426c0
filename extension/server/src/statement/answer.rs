//! The result of a query, read as the types it is expected to have.

#![allow(unsafe_code)]

use crate::stored::check_type;
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::{self, Datum, Oid};

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
