//! Values as arguments of statements and functions.

#![allow(unsafe_code)]

use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum};
use std::ffi::c_char;

/// A value as an argument of its type. The OID of nothing is null to pgrx, and 0 to PostgreSQL.
pub fn datum<T: IntoDatum>(value: T) -> Datum {
    match value.into_datum() {
        Some(datum) => datum,
        None if T::type_oid() == pg_sys::OIDOID => Datum::from(pg_sys::InvalidOid),
        None => unreachable!("texts and numbers are never null"),
    }
}

/// A value as an argument of its type, which may be null.
pub fn nullable(value: Option<impl IntoDatum>) -> Option<Datum> {
    value.and_then(IntoDatum::into_datum)
}

/// An array of keys as an argument of type bigint[].
pub fn keys_argument(keys: &[i64]) -> Datum {
    // SAFETY: on the 64-bit platforms PostgreSQL passes bigint by value, a Datum has the layout of an i64, and
    // construct_array copies the elements.
    unsafe {
        let elements = keys.as_ptr().cast_mut().cast::<Datum>();
        let array = pg_sys::construct_array(
            elements,
            keys.len() as i32,
            pg_sys::INT8OID,
            8,
            true,
            pg_sys::TYPALIGN_DOUBLE as c_char,
        );
        Datum::from(array)
    }
}

const _: () = assert!(
    size_of::<Datum>() == size_of::<i64>(),
    "lockstep needs a 64-bit platform"
);
