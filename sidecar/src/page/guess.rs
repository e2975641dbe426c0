//! Counts wrong passwords by client address: after too many, none is checked for a while, not even the right one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::http::Peer;

/// More than the typos of one person.
const MOST: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);

/// With more addresses than this the oldest are forgotten.
const MOST_ADDRESSES: usize = 10_000;

/// How many were wrong, and since when they are counted.
type Wrong = (u32, Instant);

#[derive(Default)]
pub(crate) struct Guesses(Mutex<HashMap<IpAddr, Wrong>>);

impl Guesses {
    /// Whether a password from there is checked.
    pub(super) fn may(&self, from: IpAddr, now: Instant) -> bool {
        let wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = wrong.get(&Peer(from).network());
        counted.is_none_or(|(number, since)| *number < MOST || is_over(*since, now))
    }

    pub(super) fn count(&self, from: IpAddr, now: Instant) {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = Peer(from).network();
        if wrong.len() >= MOST_ADDRESSES && !wrong.contains_key(&from) {
            wrong.retain(|_, (_, since)| !is_over(*since, now));
            let oldest = wrong.iter().min_by_key(|(_, (_, since))| *since);
            let oldest = oldest.map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| wrong.len() >= MOST_ADDRESSES) {
                wrong.remove(&oldest);
            }
        }
        let (number, since) = wrong.entry(from).or_insert((0, now));
        if is_over(*since, now) {
            (*number, *since) = (0, now);
        }
        *number += 1;
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= PERIOD
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Instant;

    use super::{Guesses, MOST, MOST_ADDRESSES, PERIOD};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn many_wrong_ones_are_the_last_for_a_while() {
        let guesses = Guesses::default();
        let now = Instant::now();
        for _ in 0..MOST {
            assert!(guesses.may(HERE, now));
            guesses.count(HERE, now);
        }
        assert!(!guesses.may(HERE, now));
        assert!(!guesses.may(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), now));
        assert!(guesses.may(Ipv4Addr::new(127, 0, 0, 2).into(), now));
        assert!(guesses.may(HERE, now + PERIOD));
        guesses.count(HERE, now + PERIOD);
        assert!(guesses.may(HERE, now + PERIOD));
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let guesses = Guesses::default();
        let now = Instant::now();
        let address =
            |network, host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));
        for host in 0..10 {
            guesses.count(address(1, host), now);
        }
        assert!(!guesses.may(address(1, 77), now) && guesses.may(address(2, 1), now));
    }

    #[test]
    fn addresses_are_forgotten_when_there_are_too_many() {
        let guesses = Guesses::default();
        let now = Instant::now();
        for number in 0..u32::try_from(MOST_ADDRESSES).unwrap_or_default() + 10 {
            guesses.count(Ipv4Addr::from_bits(number).into(), now);
        }
        let counted = guesses
            .0
            .lock()
            .map(|wrong| wrong.len())
            .unwrap_or_default();
        assert_eq!(counted, MOST_ADDRESSES);
    }
}
