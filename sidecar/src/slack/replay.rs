//! Remembers the signatures of requests while they are valid, so that a request that is sent again does not run again. Each process
//! has its own memory.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// More than Slack sends in that time; beyond it the oldest are forgotten.
const MOST: usize = 100_000;

/// By the signed time, which decides how long a request is valid.
#[derive(Default)]
pub(super) struct Seen(Mutex<BTreeSet<(u64, [u8; 32])>>);

impl Seen {
    /// Whether it is the first such request. Anything signed before `oldest` is refused anyway.
    pub(super) fn is_first(&self, at: u64, signature: [u8; 32], oldest: u64) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while seen.first().is_some_and(|(at, _)| *at < oldest) || seen.len() > MOST {
            seen.pop_first();
        }
        seen.insert((at, signature))
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Seen};

    fn signature(number: usize) -> [u8; 32] {
        let mut signature = [0; 32];
        signature[..8].copy_from_slice(&number.to_le_bytes());
        signature
    }

    fn len(seen: &Seen) -> usize {
        seen.0.lock().map(|it| it.len()).unwrap_or_default()
    }

    #[test]
    fn each_is_new_once_while_it_is_valid() {
        let seen = Seen::default();
        assert!(seen.is_first(1000, signature(1), 700));
        assert!(!seen.is_first(1000, signature(1), 700));
        assert!(seen.is_first(1000, signature(2), 700));
        assert!(!seen.is_first(1000, signature(1), 1000));
        assert_eq!(len(&seen), 2);
        assert!(seen.is_first(1400, signature(3), 1001));
        assert_eq!(len(&seen), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let seen = Seen::default();
        for number in 0..MOST + 1000 {
            assert!(seen.is_first(1000 + number as u64, signature(number), 0));
        }
        assert!(len(&seen) <= MOST + 1);
        assert!(!seen.is_first(1000 + MOST as u64, signature(MOST), 0));
    }
}
