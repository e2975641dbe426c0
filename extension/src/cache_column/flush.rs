//! The statement trigger: brings the target rows of all noted keys in lockstep with the source rows.
//!
//! What makes it right while others write: the target rows are locked first, in key order, and looked at in a later
//! statement, whose snapshot is new. Whoever changed a source row of the same target holds that lock until he commits.

use super::absence;
use super::keeper::{Keeper, Keys, Locked, keeper};
use super::target_row::Seen;
use crate::error::{OrRaise, Result};
use crate::host;
use crate::pending::{self, Notes};
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// AFTER each statement on a source or target.
#[pg_trigger(sql = "
create function lockstep.flush() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.flush() is 'statement trigger: brings the targets of all noted keys in lockstep';")]
fn flush_noted<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let _ = trigger;
    flush().or_raise();
    Ok(None)
}

/// Flushes what has been noted at this level of savepoints.
pub(super) fn flush() -> Result<()> {
    let notes = pending::take();
    let losses = pending::losses();
    if notes.is_empty() {
        return Ok(());
    }
    for part in by_target(notes, losses)?.into_values() {
        flush_target(part);
    }
    Ok(())
}

/// Looks up the values of the given keys of one definition and writes those that are wrong; returns how many were.
pub(super) fn repair(keeper: Rc<Keeper>, keys: Vec<i64>) -> usize {
    let part = Part {
        keeper,
        gained: Keys::new(Vec::new()),
        lost: Keys::new(keys),
        arrived: false,
        losses: pending::losses(),
    };
    if part.lost.is_empty() {
        0
    } else {
        flush_target(vec![part])
    }
}

/// The keys of one definition that are to be flushed.
struct Part {
    keeper: Rc<Keeper>,
    /// Known to be true.
    gained: Keys,
    /// To be looked up.
    lost: Keys,
    /// Some of the lost keys are those of new target rows.
    arrived: bool,
    /// The number of losses when the notes were taken.
    losses: u64,
}

impl Part {
    fn new(keeper: Rc<Keeper>, notes: Notes, losses: u64) -> Self {
        let arrived = !notes.arrived.is_empty();
        let lost = Keys::new([notes.lost, notes.arrived].concat());
        let gained = Keys::new(notes.gained).without(&lost);
        Self {
            keeper,
            gained,
            lost,
            arrived,
            losses,
        }
    }

    /// Whether what was gained is still there: a trigger of the host on a target that this flush wrote may have taken it away.
    fn is_certain(&self) -> bool {
        pending::losses() == self.losses
    }

    fn keys(&self) -> impl Iterator<Item = i64> {
        self.gained
            .as_slice()
            .iter()
            .chain(self.lost.as_slice())
            .copied()
    }
}

/// Definitions that share a target are flushed together, under one pass of locks: two statements that took them one
/// definition after the other could each hold the row that the other wants.
fn by_target(notes: Vec<(i32, Notes)>, losses: u64) -> Result<BTreeMap<u32, Vec<Part>>> {
    let mut targets: BTreeMap<u32, Vec<Part>> = BTreeMap::new();
    for (definition, notes) in notes {
        let part = Part::new(keeper(definition)?, notes, losses);
        targets
            .entry(part.keeper.resolved.target.oid)
            .or_default()
            .push(part);
    }
    Ok(targets)
}

/// What became of the keys of a flush.
#[derive(Clone, Copy, Default)]
struct Outcome {
    /// Target rows that exist.
    found: usize,
    written: usize,
}

fn flush_target(parts: Vec<Part>) -> usize {
    let Some(target) = parts.first().map(|part| part.keeper.resolved.target.oid) else {
        return 0;
    };
    let keys = Keys::new(parts.iter().flat_map(Part::keys).collect());
    let may_be_absent = parts
        .iter()
        .any(|part| !part.keeper.resolved.reference.exists);
    if may_be_absent && parts.iter().any(|part| part.arrived) {
        absence::announce_arrival(target, &keys);
    }
    let outcome = flush_keys(&parts, &keys);
    if !may_be_absent || outcome.found == keys.len() {
        return outcome.written;
    }
    absence::exclude_arrivals(target, &keys);
    outcome.written + flush_keys(&parts, &keys).written
}

fn flush_keys(parts: &[Part], keys: &Keys) -> Outcome {
    let _writing: Vec<Writing> = parts
        .iter()
        .map(|part| Writing::begin(&part.keeper, keys))
        .collect();
    match parts {
        [part] if part.lost.is_empty() => flush_gained(part),
        [part] => flush_locked(part, part.keeper.lock(keys)),
        [first, rest @ ..] => {
            let locked = first.keeper.lock(keys);
            // The counts are those of the first definition's column; of the others nothing is known.
            let unknown = Locked::unknown(locked.found);
            let written = rest
                .iter()
                .map(|part| flush_locked(part, unknown).written)
                .sum::<usize>();
            Outcome {
                found: locked.found,
                written: written + flush_locked(first, locked).written,
            }
        }
        [] => Outcome::default(),
    }
}

/// Only gained keys of one definition, as when rows are inserted: most often none has the value yet.
fn flush_gained(part: &Part) -> Outcome {
    let Part { keeper, gained, .. } = part;
    if !part.is_certain() {
        return flush_locked(part, keeper.lock(gained));
    }
    if let [key] = gained.as_slice() {
        match keeper.see(*key) {
            Some(Seen::Absent) => return Outcome::default(),
            Some(Seen::Present(Some(true))) => return flush_locked(part, keeper.lock(gained)),
            _ => {}
        }
        let written = keeper.set_true(gained);
        if written > 0 {
            return Outcome {
                found: written,
                written,
            };
        }
    } else if !keeper.resolved.target.is_partitioned() && keeper.none_is_true(gained) {
        // Partitions are written one after the other, not in key order, so they do need the pass.
        // Each row will be written, which locks it, so a pass that only locks can be saved. If another session sets
        // one of them to true meanwhile, it is written once more: it must be locked in any case.
        let written = keeper.set_true_in_order(gained);
        return Outcome {
            found: written,
            written,
        };
    }
    flush_locked(part, keeper.lock(gained))
}

/// Writes the keys of one definition, whose target rows are locked.
fn flush_locked(part: &Part, locked: Locked) -> Outcome {
    let mut written = 0;
    if !part.gained.is_empty() && locked.not_true > 0 {
        written += match part.is_certain() {
            true => part.keeper.set_true(&part.gained),
            false => part
                .keeper
                .look_and_set(&part.gained, Locked::unknown(locked.found)),
        };
    }
    if !part.lost.is_empty() && locked.found > 0 {
        if part.keeper.resolved.source.is_partitioned() {
            host::catch_up();
        }
        written += part.keeper.look_and_set(&part.lost, locked);
    }
    Outcome {
        found: locked.found,
        written,
    }
}

thread_local! {
    static WRITING: RefCell<Vec<(i32, Rc<[i64]>)>> = const { RefCell::new(Vec::new()) };
}

/// The keys that a flush is about to write, so that the guard of the column does not take its writes for direct ones.
struct Writing;

impl Writing {
    fn begin(keeper: &Keeper, keys: &Keys) -> Self {
        let definition = &keeper.resolved.definition;
        // Nobody asks unless there is a guard.
        let keys = if definition.guard {
            Rc::from(keys.as_slice())
        } else {
            Rc::from([])
        };
        WRITING.with_borrow_mut(|writing| writing.push((definition.id, keys)));
        Self
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.with_borrow_mut(Vec::pop);
    }
}

/// Whether a flush further up the stack is writing this key.
pub(super) fn is_writing(definition: i32, key: i64) -> bool {
    WRITING.with_borrow(|writing| {
        writing
            .iter()
            .any(|(id, keys)| *id == definition && keys.binary_search(&key).is_ok())
    })
}
