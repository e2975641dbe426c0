//! Small tables of the extension's own, read without a statement: to begin one takes ten times as long as to read a few rows.

#![allow(unsafe_code)]

use crate::catalog::{Entry, each_of};
use crate::datum;
use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// A table of the schema `lockstep_internal`. It is read as of now, and stays locked until the transaction ends, as if a statement had
/// read it.
pub struct OwnTable {
    name: &'static CStr,
    /// The index on its first column, a text.
    key: &'static CStr,
}

impl OwnTable {
    pub const fn new(name: &'static CStr, key: &'static CStr) -> Self {
        Self { name, key }
    }

    /// What `read` makes of each row, except None.
    pub fn rows<T>(&self, mut read: impl FnMut(&Entry) -> Option<T>) -> Vec<T> {
        let mut rows = Vec::new();
        self.scan(None, |entry| rows.extend(read(entry)));
        rows
    }

    /// What `read` makes of the row with this key.
    pub fn row<T>(&self, key: &str, mut read: impl FnMut(&Entry) -> Option<T>) -> Option<T> {
        let mut found = None;
        self.scan(Some(key), |entry| found = read(entry));
        found
    }

    /// A table that another session is dropping with the extension has no rows.
    fn scan(&self, key: Option<&str>, read: impl FnMut(&Entry)) {
        let Some(oid) = named(self.name) else {
            return;
        };
        let mut keys = key.map(|key| {
            let mut scan_key = pg_sys::ScanKeyData::default();
            // SAFETY: the first column is a text in the database's collation, which the function compares.
            unsafe {
                pg_sys::ScanKeyEntryInitialize(
                    &mut scan_key,
                    0,
                    1,
                    pg_sys::BTEqualStrategyNumber as u16,
                    Oid::INVALID,
                    pg_sys::DEFAULT_COLLATION_OID,
                    Oid::from(pg_sys::F_TEXTEQ),
                    datum(key),
                );
            }
            scan_key
        });
        // SAFETY: the table is null or open until it is closed below, which keeps the lock; the index is its own. Looked up before,
        // it could be one that a REINDEX CONCURRENTLY has dropped meanwhile.
        unsafe {
            let table = pg_sys::try_relation_open(oid, pg_sys::AccessShareLock as i32);
            if !table.is_null() {
                let index = key.map_or(Some(Oid::INVALID), |_| named(self.key));
                if let Some(index) = index {
                    each_of(table, index, keys.as_mut_slice(), read);
                }
                pg_sys::relation_close(table, pg_sys::NoLock as i32);
            }
        }
    }
}

fn named(name: &CStr) -> Option<Oid> {
    // SAFETY: looks up names that end with a NUL.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"lockstep_internal".as_ptr(), true);
        pg_sys::get_relname_relid(name.as_ptr(), schema)
    };
    (oid != Oid::INVALID).then_some(oid)
}
