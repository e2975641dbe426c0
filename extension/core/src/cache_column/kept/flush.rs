//! The statement trigger: brings the target rows of all noted keys in lockstep with the source rows.
//!
//! What makes it right while others write: the target rows are locked first, in key order, and looked at in a later
//! statement, whose snapshot is new. Whoever changed a source row of the same target holds that lock until he commits.

use super::absence;
use super::keeper::{Keeper, Keys, Locked, keeper};
use super::pending::{self, Notes};
use crate::error::{OrRaise, Result};
use lockstep_server::{connected, host};
use pgrx::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// AFTER each statement on a source or target.
#[pg_trigger(sql = "
create function lockstep_internal.flush() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.flush() is 'statement trigger: brings the targets of all noted keys in lockstep';")]
fn flush_noted<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let _ = trigger;
    flush().or_raise();
    Ok(None)
}

/// Flushes what has been noted at this level of savepoints.
pub(super) fn flush() -> Result<()> {
    let notes = pending::take()?;
    let losses = pending::losses();
    let mut parts = Vec::with_capacity(notes.len());
    for (definition, notes) in notes {
        parts.push(Part::new(locked_keeper(definition)?, notes, losses));
    }
    // Definitions that share a target are flushed together, under one pass of locks: two statements that took them one
    // definition after the other could each hold the row that the other wants.
    parts.sort_by_key(Part::target);
    for parts in parts.chunk_by(|one, other| one.target() == other.target()) {
        flush_target(parts);
    }
    Ok(())
}

/// Looks up the values of the given keys of one definition and writes those that are wrong; returns how many were.
pub(super) fn repair(keeper: Rc<Keeper>, mut keys: Vec<i64>) -> usize {
    keys.sort_unstable();
    keys.dedup();
    flush_target(&[Part {
        keeper,
        gained: Vec::new(),
        lost: keys,
        arrived: Vec::new(),
        losses: pending::losses(),
    }])
}

/// The keeper of a definition whose tables are locked, so that nothing it knows of them changes before the transaction ends.
fn locked_keeper(definition: i32) -> Result<Rc<Keeper>> {
    loop {
        let keeper = keeper(definition)?;
        keeper.lock_tables();
        if keeper.generation == host::generation() {
            return Ok(keeper);
        }
    }
}

/// Keys of one list that a statement is given at once. More of them take longer to no purpose, and memory that nobody has
/// promised.
const AT_ONCE: usize = 10_000;

/// The keys of one definition that are to be flushed, in ascending order.
struct Part {
    keeper: Rc<Keeper>,
    /// Known to be true.
    gained: Vec<i64>,
    /// To be looked up.
    lost: Vec<i64>,
    /// Those of new target rows, to be looked up as well.
    arrived: Vec<i64>,
    /// The number of losses when the notes were taken.
    losses: u64,
}

impl Part {
    fn new(keeper: Rc<Keeper>, notes: Notes, losses: u64) -> Self {
        Self {
            keeper,
            gained: notes.gained.into_sorted(),
            lost: notes.lost.into_sorted(),
            arrived: notes.arrived.into_sorted(),
            losses,
        }
    }

    fn target(&self) -> u32 {
        self.keeper.resolved.target.oid
    }

    fn lists(&self) -> [&[i64]; 3] {
        [&self.gained, &self.lost, &self.arrived]
    }
}

/// Some of the keys of one definition, to be flushed by one pass.
struct Slice<'a> {
    part: &'a Part,
    gained: Keys,
    lost: Keys,
}

impl Slice<'_> {
    /// Whether what was gained is still there: a trigger of the host on a target that this flush wrote may have taken it away.
    fn is_certain(&self) -> bool {
        pending::losses() == self.part.losses
    }
}

/// What became of the keys of a flush.
#[derive(Clone, Copy, Default)]
struct Outcome {
    /// Target rows that exist.
    found: usize,
    written: usize,
}

fn flush_target(parts: &[Part]) -> usize {
    let Some(target) = parts.first().map(Part::target) else {
        return 0;
    };
    let keys = || parts.iter().flat_map(Part::lists).flatten().copied();
    let may_be_absent = parts
        .iter()
        .any(|part| !part.keeper.resolved.reference.exists);
    if may_be_absent && parts.iter().any(|part| !part.arrived.is_empty()) {
        absence::announce_arrival(target, keys());
    }
    let (outcome, wanted) = flush_parts(parts);
    if !may_be_absent || outcome.found == wanted {
        return outcome.written;
    }
    absence::exclude_arrivals(target, keys());
    outcome.written + flush_parts(parts).0.written
}

/// Goes through the keys in ascending order, some at a time; answers what came of it, and how many keys there were.
fn flush_parts(parts: &[Part]) -> (Outcome, usize) {
    let mut rest: Vec<[&[i64]; 3]> = parts.iter().map(Part::lists).collect();
    let mut total = Outcome::default();
    let mut wanted = 0;
    while rest.iter().flatten().any(|list| !list.is_empty()) {
        let full = rest
            .iter()
            .flatten()
            .filter_map(|list| list.get(AT_ONCE - 1));
        let last = full.min().copied().unwrap_or(i64::MAX);
        let mut slices = Vec::with_capacity(parts.len());
        for (part, lists) in parts.iter().zip(&mut rest) {
            let [gained, lost, arrived] = lists.each_mut().map(|list| {
                let (now, later) = list.split_at(list.partition_point(|key| *key <= last));
                *list = later;
                now
            });
            let lost = Keys::new([lost, arrived].concat());
            let gained = Keys::new(gained.to_vec()).without(&lost);
            slices.push(Slice { part, gained, lost });
        }
        let lists = slices.iter().flat_map(|slice| [&slice.gained, &slice.lost]);
        let keys = Keys::new(lists.flat_map(Keys::as_slice).copied().collect());
        let outcome = flush_keys(&slices, &keys);
        total.found += outcome.found;
        total.written += outcome.written;
        wanted += keys.len();
    }
    (total, wanted)
}

fn flush_keys(slices: &[Slice], keys: &Keys) -> Outcome {
    let _writing: Vec<Writing> = slices
        .iter()
        .map(|slice| Writing::begin(&slice.part.keeper, keys))
        .collect();
    // One connection for all statements of the pass.
    connected(|| match slices {
        [slice] if slice.lost.is_empty() => flush_gained(slice),
        [slice] => flush_locked(slice, slice.part.keeper.lock(keys)),
        [first, rest @ ..] => {
            let locked = first.part.keeper.lock(keys);
            // The counts are those of the first definition's column; of the others nothing is known.
            let unknown = Locked::unknown(locked.found);
            let written = rest
                .iter()
                .map(|slice| flush_locked(slice, unknown).written)
                .sum::<usize>();
            Outcome {
                found: locked.found,
                written: written + flush_locked(first, locked).written,
            }
        }
        [] => Outcome::default(),
    })
}

/// Only gained keys of one definition, as when rows are inserted. To write a single row is to lock it, unless it has the value.
fn flush_gained(slice: &Slice) -> Outcome {
    let Slice { part, gained, .. } = slice;
    if gained.len() == 1 && slice.is_certain() {
        let written = part.keeper.set_true(gained);
        if written > 0 {
            return Outcome {
                found: written,
                written,
            };
        }
    } else if slice.is_certain()
        && part.keeper.writes_in_order()
        && part.keeper.none_is_true(gained)
    {
        // Each row will be written, which locks it: a pass that only locks can be saved. One that another session sets to true meanwhile
        // is written once more; it must be locked in any case.
        let written = part.keeper.set_true_in_order(gained);
        return Outcome {
            found: written,
            written,
        };
    }
    flush_locked(slice, part.keeper.lock(gained))
}

/// Writes the keys of one definition, whose target rows are locked.
fn flush_locked(slice: &Slice, locked: Locked) -> Outcome {
    let keeper = &slice.part.keeper;
    let mut written = 0;
    if !slice.gained.is_empty() && locked.not_true > 0 {
        written += match slice.is_certain() {
            true => keeper.set_true(&slice.gained),
            false => keeper.look_and_set(&slice.gained, Locked::unknown(locked.found)),
        };
    }
    if !slice.lost.is_empty() && locked.found > 0 {
        if keeper.resolved.source.is_partitioned() {
            host::catch_up();
        }
        written += keeper.look_and_set(&slice.lost, locked);
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
