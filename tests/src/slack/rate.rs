//! Slack's rate limits per app, by method and workspace.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

/// A number of calls in any period of that length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub calls: usize,
    pub per: Duration,
}

impl Rate {
    pub const fn per_minute(calls: usize) -> Self {
        Self {
            calls,
            per: Duration::from_secs(60),
        }
    }

    pub const fn per_second(calls: usize) -> Self {
        Self {
            calls,
            per: Duration::from_secs(1),
        }
    }
}

const TIER_1: Rate = Rate::per_minute(1);
const TIER_3: Rate = Rate::per_minute(50);
const TIER_4: Rate = Rate::per_minute(100);

/// The lowest limit that Slack's documentation allows for a method: an app that respects it is never refused.
fn usual(method: &str) -> Rate {
    match method {
        "apps.uninstall" => TIER_1,
        "auth.revoke" | "chat.update" | "team.info" => TIER_3,
        "auth.test" => Rate::per_minute(600),
        // "Several hundred per minute", over all channels of a workspace.
        "chat.postMessage" => Rate::per_minute(300),
        _ => TIER_4,
    }
}

/// The additional limit per channel.
const PER_CHANNEL: Rate = Rate::per_second(1);

/// Recent calls, and the limits that a test has changed.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    changed: BTreeMap<String, Option<Rate>>,
    is_off: bool,
    lately: BTreeMap<(String, String), VecDeque<SystemTime>>,
}

impl Limits {
    pub(crate) fn change(&mut self, method: &str, rate: Option<Rate>) {
        self.changed.insert(method.to_owned(), rate);
    }

    pub(crate) fn turn_off(&mut self) {
        self.is_off = true;
    }

    /// Counts a call, or returns the seconds until the next one is accepted.
    pub(crate) fn take(&mut self, method: &str, tenant: &str, now: SystemTime) -> Result<(), u64> {
        let rate = match self.changed.get(method) {
            Some(changed) => *changed,
            None => Some(usual(method)),
        };
        self.count(method, tenant, rate, now)
    }

    /// The same for the limit per channel, by the name "chat.postMessage channel".
    pub(crate) fn take_channel(&mut self, channel: &str, now: SystemTime) -> Result<(), u64> {
        const NAME: &str = "chat.postMessage channel";
        let rate = self.changed.get(NAME).copied().unwrap_or(Some(PER_CHANNEL));
        self.count(NAME, channel, rate, now)
    }

    fn count(
        &mut self,
        name: &str,
        of: &str,
        rate: Option<Rate>,
        now: SystemTime,
    ) -> Result<(), u64> {
        let Some(rate) = rate.filter(|_| !self.is_off) else {
            return Ok(());
        };
        let lately = self
            .lately
            .entry((name.to_owned(), of.to_owned()))
            .or_default();
        while lately.front().is_some_and(|call| *call + rate.per <= now) {
            lately.pop_front();
        }
        if lately.len() < rate.calls {
            lately.push_back(now);
            return Ok(());
        }
        let free_at = lately.front().map_or(now, |first| *first + rate.per);
        let wait = free_at.duration_since(now).unwrap_or_default();
        Err(wait
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(1)
            .max(1))
    }
}
