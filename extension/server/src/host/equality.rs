//! The equality operator of a type.

#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::spi::quote_identifier;
use std::ffi::CStr;

/// The operator of the type's default btree or hash operator class, as `operator(schema.name)`.
pub(super) fn default_equality(type_oid: Oid) -> Option<String> {
    // SAFETY: the type exists, because a column has it; the type's cache entry lives as long as the backend, and the operator's
    // is read before it is released. The schema's name is a palloc'd string, or null.
    unsafe {
        let found = pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_EQ_OPR as i32);
        let cache = pg_sys::SysCacheIdentifier::OPEROID as i32;
        let entry = pg_sys::SearchSysCache1(cache, Datum::from((*found).eq_opr));
        if entry.is_null() {
            return None;
        }
        let operator = &*pg_sys::GETSTRUCT(entry).cast::<pg_sys::FormData_pg_operator>();
        let name = CStr::from_ptr(operator.oprname.data.as_ptr());
        let schema = pg_sys::get_namespace_name(operator.oprnamespace);
        let equality = (!schema.is_null()).then(|| {
            format!(
                "operator({}.{})",
                quote_identifier(CStr::from_ptr(schema).to_string_lossy()),
                name.to_string_lossy()
            )
        });
        pg_sys::ReleaseSysCache(entry);
        equality
    }
}
