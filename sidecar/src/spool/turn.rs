//! The order of replays. Each webhook gets a number: the microsecond of its arrival, larger than all earlier numbers. Webhooks of one
//! place are replayed by number, and only after all earlier ones are either published or in the spool.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::entry::NotKept;
use super::standing::Standing;

/// The size of an entry without its bytes.
const OVERHEAD: u64 = 64;

/// Place and number.
pub(super) type Key = (u64, u64);

pub(super) struct Turns {
    state: Mutex<State>,
    most: u64,
}

#[derive(Default)]
struct State {
    last: u64,
    /// By number.
    waiting: BTreeMap<u64, Kept>,
    /// The number of entries, including those that are being written.
    places: HashMap<u64, u64>,
    /// Those that have arrived and are neither published nor on disk yet.
    in_hand: BTreeSet<Key>,
    bytes: u64,
    set_aside: u64,
    replayed: u64,
}

#[derive(Clone, Copy)]
struct Kept {
    place: u64,
    size: u64,
}

/// The turn of a webhook, until it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    key: Key,
}

/// A turn with reserved space.
pub(super) struct Reserved {
    turn: Turn,
    size: u64,
    is_kept: bool,
}

impl Reserved {
    pub(super) fn key(&self) -> Key {
        self.turn.key
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.state().in_hand.remove(&self.key);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_kept {
            self.turn.turns.state().release(self.turn.key.0, self.size);
        }
    }
}

impl State {
    fn release(&mut self, place: u64, size: u64) {
        self.bytes = self.bytes.saturating_sub(size);
        if let Some(count) = self.places.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.places.remove(&place);
            }
        }
    }
}

impl Turns {
    /// With the entries on disk and their sizes.
    pub(super) fn new(found: Vec<(Key, usize)>, most: u64) -> Self {
        let mut state = State::default();
        for ((place, number), size) in found {
            let size = size as u64 + OVERHEAD;
            state.last = state.last.max(number);
            state.bytes += size;
            *state.places.entry(place).or_default() += 1;
            state.waiting.insert(number, Kept { place, size });
        }
        Self {
            state: Mutex::new(state),
            most,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(turns: &Arc<Self>, place: u64) -> Turn {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or_default();
        let mut state = turns.state();
        // The clock may be set back.
        state.last = now.max(state.last + 1);
        let key = (place, state.last);
        state.in_hand.insert(key);
        drop(state);
        let turns = Arc::clone(turns);
        Turn { turns, key }
    }

    pub(super) fn holds(&self, place: u64) -> bool {
        self.state().places.contains_key(&place)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }

    pub(super) fn reserve(&self, turn: Turn, size: usize) -> Result<Reserved, NotKept> {
        let size = size as u64 + OVERHEAD;
        let mut state = self.state();
        if state.bytes + size > self.most {
            drop(state);
            return Err(NotKept::Full);
        }
        state.bytes += size;
        *state.places.entry(turn.key.0).or_default() += 1;
        drop(state);
        Ok(Reserved {
            turn,
            size,
            is_kept: false,
        })
    }

    /// It is on disk.
    pub(super) fn insert(&self, mut reserved: Reserved) {
        let (place, number) = reserved.key();
        let kept = Kept {
            place,
            size: reserved.size,
        };
        self.state().waiting.insert(number, kept);
        reserved.is_kept = true;
    }

    /// If an entry has to wait, all later ones of its place wait as well.
    pub(super) fn oldest(&self, most: usize, bytes: usize, without: &HashSet<u64>) -> Vec<Key> {
        let state = self.state();
        let mut left = bytes as u64;
        let mut chosen = Vec::new();
        for (number, kept) in &state.waiting {
            if chosen.len() == most {
                break;
            }
            let mut earlier = state.in_hand.range((kept.place, 0)..(kept.place, *number));
            if without.contains(&kept.place) || earlier.next().is_some() {
                continue;
            }
            match left.checked_sub(kept.size) {
                Some(rest) => left = rest,
                None if chosen.is_empty() => left = 0,
                None => break,
            }
            chosen.push((kept.place, *number));
        }
        chosen
    }

    pub(super) fn keys(&self, numbers: &[u64]) -> Vec<Key> {
        let state = self.state();
        let key = |number: &u64| Some((state.waiting.get(number)?.place, *number));
        numbers.iter().filter_map(key).collect()
    }

    pub(super) fn remove(&self, keys: &[Key]) {
        let mut state = self.state();
        for (place, number) in keys {
            if let Some(kept) = state.waiting.remove(number) {
                state.release(*place, kept.size);
                state.replayed += 1;
            }
        }
    }

    /// It still takes space, and holds up nothing.
    pub(super) fn set_aside(&self, keys: &[Key]) {
        let mut state = self.state();
        for (place, number) in keys {
            if let Some(kept) = state.waiting.remove(number) {
                state.release(*place, kept.size);
                state.bytes += kept.size;
                state.set_aside += 1;
            }
        }
    }

    pub(super) fn standing(&self, is_away: bool, is_failing: bool) -> Standing {
        let state = self.state();
        let oldest = state.waiting.keys().next();
        let age = |number: &u64| {
            let came = UNIX_EPOCH + Duration::from_micros(*number);
            SystemTime::now().duration_since(came).unwrap_or_default()
        };
        Standing {
            entries: state.waiting.len() as u64,
            bytes: state.bytes,
            oldest: oldest.map(age),
            set_aside: state.set_aside,
            replayed: state.replayed,
            // The next one is rarely larger than that.
            is_full: state.bytes + LARGE > self.most,
            is_away,
            is_failing,
        }
    }
}

/// Hardly any webhook is larger.
const LARGE: u64 = 64 << 10;
