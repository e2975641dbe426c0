//! Which types of PostgreSQL's are stored as what a value is read as.

#![allow(unsafe_code)]

use pgrx::datum::IntoDatum;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::ffi::CStr;

/// Refuses to read a value as a type it does not have: the owner of an application table chooses the types of its columns.
pub(crate) fn check_type<T: IntoDatum>(found: Oid) {
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
    const SMALL_INTEGERS: [Oid; 2] = [pg_sys::INT2ARRAYOID, pg_sys::INT2VECTOROID];
    let wanted = T::type_oid();
    T::is_compatible_with(found)
        || [&TEXTS[..], &ARRAYS[..], &SMALL_INTEGERS[..]]
            .iter()
            .any(|alike| alike.contains(&wanted) && alike.contains(&found))
}
