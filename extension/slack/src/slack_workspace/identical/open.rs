//! Rows without a scope whose transaction has not said yet which scopes they will have.
//!
//! The application writes scopes in two steps. It inserts a row and links its scopes afterwards, and it replaces scopes by
//! deleting all links and inserting the new ones. In between the row has none, which means nothing; if the team followed, the
//! application would find no scopes left to copy. So such a row is open until it has a scope, or until the end of the transaction
//! ([`settle`](mod@super::settle)).

use crate::error::Result;
use lockstep_server::levels::{Layer, Levels, nesting};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// Rows by table, numbered in the order in which they were last opened.
#[derive(Default)]
struct Open(HashMap<(u32, i64), u64>);

impl Layer for Open {
    fn append(&mut self, inner: Self) -> Result<()> {
        self.0.try_reserve(inner.0.len())?;
        self.0.extend(inner.0);
        Ok(())
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

thread_local! {
    static OPEN: RefCell<(u64, Levels<Open>)> = const { RefCell::new((0, Levels::new())) };
}

/// A row stays known as open even when it gets scopes: that may be rolled back.
pub(super) fn open(table: u32, row: i64) -> Result<()> {
    OPEN.with_borrow_mut(|(place, open)| {
        *place += 1;
        open.at(nesting(), |open| {
            open.0.try_reserve(1)?;
            open.0.insert((table, row), *place);
            Ok(())
        })
    })
}

/// Whether the transaction has opened it; it is open as long as it has no scope.
pub(super) fn is_open(table: u32, row: i64) -> bool {
    OPEN.with_borrow_mut(|(_, open)| open.layers().any(|open| open.0.contains_key(&(table, row))))
}

/// Takes all open rows by table, in the order in which they were opened.
pub(super) fn take() -> BTreeMap<u32, Vec<i64>> {
    let mut all = Vec::new();
    OPEN.with_borrow_mut(|(_, open)| {
        for layer in open.layers() {
            all.extend(layer.0.drain().map(|(row, place)| (place, row)));
        }
        open.roll_back(0);
    });
    all.sort_unstable();
    let mut tables: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for (_, (table, row)) in all {
        tables.entry(table).or_default().push(row);
    }
    tables
}

pub(super) fn roll_back(nesting: i32) {
    OPEN.with_borrow_mut(|(_, open)| open.roll_back(nesting));
}

pub(super) fn release(nesting: i32) -> Result<()> {
    OPEN.with_borrow_mut(|(_, open)| open.release(nesting))
}
