//! A common pace for what is large: somebody who sends it without a pause would otherwise keep the processors from everybody else.

use std::num::NonZeroU32;
use std::sync::LazyLock;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// In KiB a second: GitLab's largest webhook takes less than one.
const RATE: NonZeroU32 = NonZeroU32::new(24 << 10).unwrap();

/// So many KiB need not wait after a pause.
const BURST: NonZeroU32 = NonZeroU32::new(8 << 10).unwrap();

/// Not one for each peer: behind a reverse proxy all are one.
pub(super) struct Pace(LazyLock<DefaultDirectRateLimiter>);

impl Pace {
    pub(super) const fn new() -> Self {
        Self(LazyLock::new(|| {
            RateLimiter::direct(Quota::per_second(RATE).allow_burst(BURST))
        }))
    }

    /// Waits until so many bytes may be read.
    pub(super) async fn wait(&self, bytes: usize) {
        let pieces = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        if let Some(pieces) = NonZeroU32::new(pieces.min(BURST.get())) {
            // It fails only for more than a burst.
            let _ = self.0.until_n_ready(pieces).await;
        }
    }
}
