//! What was noted, stacked by subtransaction: what a savepoint is rolled back over goes, what it is released over goes to the level
//! around it.

use crate::error::Result;
use pgrx::pg_sys;

/// What is noted at one level.
pub trait Layer: Default {
    /// Takes over what a level further in has noted, which is later.
    fn append(&mut self, inner: Self) -> Result<()>;

    fn count(&self) -> usize;
}

struct Level<L> {
    nesting: i32,
    layer: L,
}

/// Levels in order of nesting, innermost last; a level exists only while it holds notes.
#[derive(Default)]
pub struct Levels<L>(Vec<Level<L>>);

impl<L: Layer> Levels<L> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Hands the layer of that nesting to `write`.
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

    /// Takes what the innermost level has noted, if it is of that nesting.
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

    /// The notes of a released savepoint belong to the level around it.
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

/// The number of the subtransaction: those that begin later in the transaction have higher ones, and it has 1 itself.
#[allow(unsafe_code)]
pub fn subtransaction() -> pg_sys::SubTransactionId {
    // SAFETY: reads a field of the current transaction's state; called inside a transaction only.
    unsafe { pg_sys::GetCurrentSubTransactionId() }
}

/// How deep in savepoints the transaction is.
#[allow(unsafe_code)]
pub fn nesting() -> i32 {
    // SAFETY: reads a field of the current transaction's state; called inside a transaction only.
    unsafe { pg_sys::GetCurrentTransactionNestLevel() }
}
