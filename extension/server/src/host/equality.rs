//! The equality operator of a type.

use crate::{Statement, connected, with_catalog_path};
use pgrx::pg_sys::{self, Datum, Oid};

/// The operator of the type's default btree or hash operator class, as `operator(schema.name)`.
#[allow(unsafe_code)]
pub(super) fn default_equality(type_oid: Oid) -> Option<String> {
    // SAFETY: the type exists, because a column has it; the cache entry lives as long as the backend.
    let operator =
        unsafe { (*pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_EQ_OPR as i32)).eq_opr };
    let query = Statement::new(
        "select format('operator(%I.%s)', n.nspname, o.oprname)
           from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where o.oid = $1",
        &[pg_sys::OIDOID],
    );
    with_catalog_path(|| connected(|| query.text(&[Datum::from(operator)])))
}
