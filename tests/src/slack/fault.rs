//! What can go wrong between an app and Slack, switched on by a test.

use std::collections::BTreeMap;
use std::time::Duration;

/// A fault of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Processed and answered as usual, but only after this time.
    Slow(Duration),
    /// Not processed; answered with this HTTP status and a body that is not JSON, as a proxy would.
    Status(u16),
    /// Not processed; 429 with this many seconds in Retry-After.
    RateLimited(u64),
    /// Not processed; answered with 200 and this Slack error.
    Error(&'static str),
    /// Not processed; the connection is closed without a response.
    ClosedBefore,
    /// Processed, but the connection is closed without a response.
    ClosedAfter,
    /// Processed, but the response is 200 with a body that is not JSON.
    Garbage,
}

/// Which methods fail, and how.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// By method, or by method and channel: the number of calls left (None: until cleared).
    ordered: BTreeMap<String, Vec<(Fault, Option<u32>)>>,
    by_chance: BTreeMap<String, Chance>,
    given: BTreeMap<Fault, usize>,
}

/// Faults that hit a percentage of calls each.
#[derive(Debug)]
struct Chance {
    percent: Vec<(Fault, u64)>,
    state: u64,
}

impl Faults {
    /// Faults of one method apply one after the other, in the order they were added.
    pub(crate) fn add(&mut self, method: &str, fault: Fault, calls: Option<u32>) {
        self.ordered
            .entry(method.to_owned())
            .or_default()
            .push((fault, calls));
    }

    /// The same for calls that name this channel.
    pub(crate) fn add_in(&mut self, method: &str, channel: &str, fault: Fault, calls: Option<u32>) {
        self.add(&in_channel(method, channel), fault, calls);
    }

    pub(crate) fn add_by_chance(&mut self, method: &str, seed: u64, percent: &[(Fault, u64)]) {
        let chance = Chance {
            percent: percent.to_vec(),
            state: seed,
        };
        self.by_chance.insert(method.to_owned(), chance);
    }

    pub(crate) fn clear(&mut self) {
        self.ordered.clear();
        self.by_chance.clear();
    }

    pub(crate) fn given(&self) -> BTreeMap<Fault, usize> {
        self.given.clone()
    }

    /// The fault of this call: ordered faults take precedence over random ones.
    pub(crate) fn take(&mut self, method: &str, channel: Option<&str>) -> Option<Fault> {
        let fault = channel
            .and_then(|channel| self.take_ordered(&in_channel(method, channel)))
            .or_else(|| self.take_ordered(method))
            .or_else(|| self.by_chance.get_mut(method)?.draw())?;
        *self.given.entry(fault.clone()).or_default() += 1;
        Some(fault)
    }

    fn take_ordered(&mut self, of: &str) -> Option<Fault> {
        let waiting = self.ordered.get_mut(of)?;
        waiting.retain(|(_, calls)| *calls != Some(0));
        let (fault, calls) = waiting.first_mut()?;
        if let Some(calls) = calls {
            *calls -= 1;
        }
        Some(fault.clone())
    }
}

impl Chance {
    fn draw(&mut self) -> Option<Fault> {
        let mut drawn = self.number() % 100;
        for (fault, percent) in &self.percent {
            if drawn < *percent {
                return Some(fault.clone());
            }
            drawn -= percent;
        }
        None
    }

    /// SplitMix64: the same seed gives the same faults.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn in_channel(method: &str, channel: &str) -> String {
    format!("{method} {channel}")
}
