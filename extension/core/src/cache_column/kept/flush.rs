//! The statement trigger: updates the target rows of all noted keys from the source rows.
//!
//! Why this is right under concurrent writes: the target rows are locked first, in key order, and read in a later statement with
//! a new snapshot. A session that changed a source row of the same target holds that lock until it commits.

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
comment on function lockstep_internal.flush() is 'statement trigger: updates the target rows of all noted keys';")]
fn flush_noted<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let _ = trigger;
    flush().or_raise();
    Ok(None)
}

/// Flushes what has been noted at this savepoint level.
pub(super) fn flush() -> Result<()> {
    let notes = pending::take()?;
    let losses = pending::losses();
    let mut parts = Vec::with_capacity(notes.len());
    for (definition, notes) in notes {
        parts.push(Part::new(locked_keeper(definition)?, notes, losses));
    }
    // Definitions with the same target are flushed together in one lock pass: two statements that locked one definition after the
    // other could deadlock.
    parts.sort_by_key(Part::target);
    for parts in parts.chunk_by(|one, other| one.target() == other.target()) {
        flush_target(parts);
    }
    Ok(())
}

/// Recomputes the values of these keys of one definition and writes the wrong ones; returns how many it wrote.
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

/// The keeper of a definition, with its tables locked, so that nothing cached about them changes before the transaction ends.
fn locked_keeper(definition: i32) -> Result<Rc<Keeper>> {
    loop {
        let keeper = keeper(definition)?;
        keeper.lock_tables();
        if keeper.generation == host::generation() {
            return Ok(keeper);
        }
    }
}

/// How many keys a statement gets at once. More would only take longer, and an unbounded amount of memory.
const AT_ONCE: usize = 10_000;

/// The keys of one definition to flush, in ascending order.
struct Part {
    keeper: Rc<Keeper>,
    /// Known to be true.
    gained: Vec<i64>,
    /// To be recomputed.
    lost: Vec<i64>,
    /// New target rows, to be recomputed as well.
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

/// Part of the keys of one definition, flushed in one pass.
struct Slice<'a> {
    part: &'a Part,
    gained: Keys,
    lost: Keys,
}

impl Slice<'_> {
    /// Whether gained rows must still exist: an application trigger on a target that this flush wrote may have removed them.
    fn is_certain(&self) -> bool {
        pending::losses() == self.part.losses
    }
}

/// The result of a flush.
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

/// Processes the keys in ascending order, in slices; returns the outcome and the number of keys.
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
    // One SPI connection for all statements of the pass.
    connected(|| match slices {
        [slice] if slice.lost.is_empty() => flush_gained(slice),
        [slice] => flush_locked(slice, slice.part.keeper.lock(keys)),
        [first, rest @ ..] => {
            let locked = first.part.keeper.lock(keys);
            // The counts are for the first definition's column; nothing is known about the others.
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

/// Only gained keys of one definition, as after inserts. Writing a row also locks it; only rows that already have the value need
/// a lock.
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
        // Each row will be written, which locks it, so a separate lock pass is not needed. A row that another session sets to
        // true in the meantime is written once more; it has to be locked anyway.
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

/// The keys that a flush is about to write, so that the column's guard does not reject its writes.
struct Writing;

impl Writing {
    fn begin(keeper: &Keeper, keys: &Keys) -> Self {
        let definition = &keeper.resolved.definition;
        // Only needed if there is a guard.
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
