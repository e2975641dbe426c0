//! PostgreSQL's catalogs, read through their indexes as of now. Queries on them would take a new session ten milliseconds to plan.

#![allow(unsafe_code)]

use crate::stored::check_type;
use pgrx::datum::{FromDatum, IntoDatum};
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::CStr;
use std::hash::Hash;
use std::ptr;

/// A catalog with an index that finds all rows about a table.
pub(crate) struct Catalog {
    oid: u32,
    index: u32,
    /// The first column of the index: the table's OID.
    column: i16,
}

pub(crate) const PG_CLASS: Catalog = Catalog::new(1259, 2662, 1);
pub(crate) const PG_ATTRIBUTE: Catalog = Catalog::new(1249, 2659, 1);
pub(crate) const PG_TRIGGER: Catalog = Catalog::new(2620, 2701, 2);
pub(crate) const PG_INDEX: Catalog = Catalog::new(2610, 2678, 2);
pub(crate) const PG_CONSTRAINT: Catalog = Catalog::new(2606, 2665, CONSTRAINED_TABLE);
pub(crate) const PG_INHERITS_BY_CHILD: Catalog = Catalog::new(2611, 2680, 1);
pub(crate) const PG_INHERITS_BY_PARENT: Catalog = Catalog::new(2611, 2187, 2);

const CONSTRAINED_TABLE: i16 = if cfg!(feature = "pg18") { 9 } else { 8 };

impl Catalog {
    const fn new(oid: u32, index: u32, column: i16) -> Self {
        Self { oid, index, column }
    }

    /// A catalog that another extension has added to PostgreSQL's, with an index whose first column is the table's OID, and the
    /// catalog's; None if there is no such extension.
    pub(crate) fn added(name: &CStr, index: &CStr) -> Option<Self> {
        Some(Self::new(added(name)?, added(index)?, 1))
    }

    /// Reads each row about a table, in the order of the index.
    pub(crate) fn each(&self, table: u32, mut read: impl FnMut(&Entry)) {
        let mut key = pg_sys::ScanKeyData::default();
        // SAFETY: catalog, index and column are PostgreSQL's own; the column is an OID, which the function compares. After an
        // error, the abort closes what is left open.
        unsafe {
            let lock = pg_sys::AccessShareLock as i32;
            pg_sys::ScanKeyInit(
                &mut key,
                self.column,
                pg_sys::BTEqualStrategyNumber as u16,
                Oid::from(pg_sys::F_OIDEQ),
                Datum::from(Oid::from(table)),
            );
            let catalog = pg_sys::table_open(Oid::from(self.oid), lock);
            each_of(catalog, Oid::from(self.index), &mut [key], &mut read);
            pg_sys::table_close(catalog, lock);
        }
    }

    /// What `read` makes of each row about a table, except None.
    pub(crate) fn rows<T>(&self, table: u32, mut read: impl FnMut(&Entry) -> Option<T>) -> Vec<T> {
        let mut rows = Vec::new();
        self.each(table, |entry| rows.extend(read(entry)));
        rows
    }
}

/// The only row of a catalog that another extension has added, if there is one.
pub(crate) fn only_row<T>(name: &CStr, read: impl FnMut(&Entry) -> Option<T>) -> Option<T> {
    every_row(Oid::from(added(name)?), read).into_iter().next()
}

/// What `read` makes of each row of a small catalog, except None.
pub(crate) fn every_row<T>(catalog: Oid, mut read: impl FnMut(&Entry) -> Option<T>) -> Vec<T> {
    let mut rows = Vec::new();
    // SAFETY: as in `Catalog::each`, without an index or a key.
    unsafe {
        let lock = pg_sys::AccessShareLock as i32;
        let catalog = pg_sys::table_open(catalog, lock);
        each_of(catalog, Oid::INVALID, &mut [], |entry| {
            rows.extend(read(entry));
        });
        pg_sys::table_close(catalog, lock);
    }
    rows
}

/// Reads each row as of now, in the order of the index if there are keys.
///
/// # Safety
///
/// The table is open, the index is one of its own, and the keys are of columns of that index.
pub(crate) unsafe fn each_of(
    table: pg_sys::Relation,
    index: Oid,
    keys: &mut [pg_sys::ScanKeyData],
    mut read: impl FnMut(&Entry),
) {
    // SAFETY: see above. Each row is read before the next one is fetched. Without a snapshot, the scan takes a new one.
    unsafe {
        let count = keys.len() as i32;
        let snapshot = ptr::null_mut();
        let scan =
            pg_sys::systable_beginscan(table, index, count > 0, snapshot, count, keys.as_mut_ptr());
        let descriptor = (*table).rd_att;
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            read(&Entry { tuple, descriptor });
        }
        pg_sys::systable_endscan(scan);
    }
}

fn added(name: &CStr) -> Option<u32> {
    const PG_CATALOG: u32 = 11;
    // SAFETY: looks up a name that ends with a NUL in the cache of names.
    let oid = unsafe { pg_sys::get_relname_relid(name.as_ptr(), Oid::from(PG_CATALOG)) };
    (oid != Oid::INVALID).then(|| oid.to_u32())
}

/// A row of a catalog, or of a table that is read like one.
pub struct Entry {
    tuple: pg_sys::HeapTuple,
    descriptor: pg_sys::TupleDesc,
}

impl Entry {
    /// The value of a column, unless it is null, which must be of type `T`. A superuser may have changed those of our own tables.
    pub fn get<T: FromDatum + IntoDatum>(&self, column: &CStr) -> Option<T> {
        let number = self.number(column)?;
        // SAFETY: the row has this descriptor, and the descriptor that column.
        check_type::<T>(unsafe { pg_sys::SPI_gettypeid(self.descriptor, number) });
        let (datum, is_null) = self.datum(number);
        // SAFETY: it is stored as a `T`, and copied while the row lives.
        unsafe { T::from_datum(datum, is_null) }
    }

    pub(crate) fn oid(&self, column: &CStr) -> u32 {
        self.get::<Oid>(column).unwrap_or(Oid::INVALID).to_u32()
    }

    /// The value of a column of type "char".
    pub(crate) fn char(&self, column: &CStr) -> char {
        char::from(self.get::<i8>(column).unwrap_or_default() as u8)
    }

    pub fn is(&self, column: &CStr) -> bool {
        self.get(column).unwrap_or(false)
    }

    pub(crate) fn is_null(&self, column: &CStr) -> bool {
        self.number(column)
            .is_none_or(|number| self.datum(number).1)
    }

    /// The value of a catalog's column of type name.
    pub(crate) fn name(&self, column: &CStr) -> String {
        let Some((datum, false)) = self.number(column).map(|number| self.datum(number)) else {
            return String::new();
        };
        // SAFETY: catalogs have fixed types; a name is stored as a NUL-terminated string, in the row.
        let name = unsafe { CStr::from_ptr(datum.cast_mut_ptr()) };
        name.to_string_lossy().into_owned()
    }

    /// Where the row is stored and who wrote it. Statistics, which PostgreSQL updates in place, do not change it.
    pub(crate) fn version(&self) -> impl Hash {
        // SAFETY: the row lives as long as the entry.
        unsafe {
            let place = (*self.tuple).t_self;
            (
                (place.ip_blkid.bi_hi, place.ip_blkid.bi_lo, place.ip_posid),
                (*(*self.tuple).t_data).t_choice.t_heap.t_xmin,
            )
        }
    }

    /// None if an older server does not have the column.
    fn number(&self, column: &CStr) -> Option<i32> {
        // SAFETY: the row has this descriptor.
        let number = unsafe { pg_sys::SPI_fnumber(self.descriptor, column.as_ptr()) };
        (number > 0).then_some(number)
    }

    fn datum(&self, number: i32) -> (Datum, bool) {
        let mut is_null = true;
        // SAFETY: the row has this descriptor, and the descriptor that column.
        let datum =
            unsafe { pg_sys::SPI_getbinval(self.tuple, self.descriptor, number, &mut is_null) };
        (datum, is_null)
    }
}
