//! Notes stacked by subtransaction: rolling back a savepoint discards its notes, releasing it moves them to the enclosing level.

use crate::error::Result;
use pgrx::pg_sys;

/// The notes of one level.
pub trait Layer: Default {
    /// Appends the notes of an inner level, which are newer.
    fn append(&mut self, inner: Self) -> Result<()>;

    fn count(&self) -> usize;
}

struct Level<L> {
    nesting: i32,
    layer: L,
}

/// Levels in order of nesting, innermost last. A level exists only while it holds notes.
#[derive(Default)]
pub struct Levels<L>(Vec<Level<L>>);

impl<L: Layer> Levels<L> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Passes the layer at that nesting to `write`.
    pub fn at(&mut self, nesting: i32, write: impl FnOnce(&mut L) -> Result<()>) -> Result<()> {
        if self.0.last().is_none_or(|level| level.nesting < nesting) {
            self.0.push(Level {
                nesting,
                layer: L::default(),
            });
        }
        self.0
            .last_mut()
            .map_or(Ok(()), |level| write(&mut level.layer))
    }

    /// Takes the notes of the innermost level, if it has that nesting.
    pub fn take(&mut self, nesting: i32) -> Option<L> {
        let level = self.0.pop_if(|level| level.nesting >= nesting)?;
        Some(level.layer)
    }

    pub fn layers(&mut self) -> impl Iterator<Item = &mut L> {
        self.0.iter_mut().map(|level| &mut level.layer)
    }

    pub fn roll_back(&mut self, nesting: i32) {
        self.0.retain(|level| level.nesting < nesting);
    }

    /// Moves the notes of a released savepoint to the enclosing level.
    pub fn release(&mut self, nesting: i32) -> Result<()> {
        match self.take(nesting) {
            Some(released) => self.at(nesting - 1, |outer| outer.append(released)),
            None => Ok(()),
        }
    }

    pub fn count(&self) -> usize {
        self.0.iter().map(|level| level.layer.count()).sum()
    }
}

/// The number of the subtransaction. The transaction itself is 1; later subtransactions have higher numbers.
#[allow(unsafe_code)]
pub fn subtransaction() -> pg_sys::SubTransactionId {
    // SAFETY: reads a field of the current transaction's state; only called inside a transaction.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// The nesting depth of savepoints.
#[allow(unsafe_code)]
pub fn nesting() -> i32 {
    // SAFETY: reads a field of the current transaction's state; only called inside a transaction.
    unsafe { pg_sys::GetCurrentTransactionNestLevel() }
}
