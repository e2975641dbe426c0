//! What can go wrong between an app and Slack, switched on by a test.

use std::collections::BTreeMap;
use std::time::Duration;

/// One way in which a call goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Takes effect and is answered as usual, but only after this time.
    Slow(Duration),
    /// No effect; answered with this HTTP status and a body that is not JSON, as a proxy does.
    Status(u16),
    /// No effect; 429 with this many seconds in Retry-After.
    RateLimited(u64),
    /// No effect; answered with 200 and this error of Slack's.
    Error(&'static str),
    /// No effect; the connection is closed without an answer.
    ClosedBefore,
    /// Takes effect, but the connection is closed without an answer.
    ClosedAfter,
    /// Takes effect, but the answer is 200 with a body that is not JSON.
    Garbage,
}

/// Which methods fail, how, and for how many calls more (None: until cleared).
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<String, Vec<(Fault, Option<u32>)>>);

impl Faults {
    /// Faults of one method come one after the other, in the order in which they were added.
    pub(crate) fn add(&mut self, method: &str, fault: Fault, calls: Option<u32>) {
        self.0
            .entry(method.to_owned())
            .or_default()
            .push((fault, calls));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault of this call.
    pub(crate) fn take(&mut self, method: &str) -> Option<Fault> {
        let waiting = self.0.get_mut(method)?;
        waiting.retain(|(_, calls)| *calls != Some(0));
        let (fault, calls) = waiting.first_mut()?;
        if let Some(calls) = calls {
            *calls -= 1;
        }
        Some(fault.clone())
    }
}
