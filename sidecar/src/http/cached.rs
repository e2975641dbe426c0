//! What was seen last: however many look, one asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// What takes long is asked for so much less often: the database has other things to do.
const REST: u32 = 10;

/// The last answer, or that there was none, and until when it is shown to whoever asks.
pub(crate) struct Cached<T> {
    /// How old an answer may be that is shown.
    fresh: Duration,
    /// One that took long, at most.
    longest: Duration,
    answer: Mutex<Option<(Instant, Option<Arc<T>>)>>,
}

impl<T> Cached<T> {
    pub(crate) fn new(fresh: Duration, longest: Duration) -> Self {
        Self {
            fresh,
            longest,
            answer: Mutex::new(None),
        }
    }

    /// Asks, if the last answer is too old. Those who come meanwhile wait for the same.
    pub(crate) async fn get(&self, ask: impl AsyncFnOnce() -> Option<T>) -> Option<Arc<T>> {
        let mut last = self.answer.lock().await;
        if let Some((until, answer)) = &*last
            && *until > Instant::now()
        {
            return answer.clone();
        }
        let begun = Instant::now();
        let answer = ask().await.map(Arc::new);
        // That there was none is no reason to wait: the next one may come at once.
        let fresh = match &answer {
            Some(_) => (begun.elapsed() * REST).clamp(self.fresh, self.longest),
            None => self.fresh,
        };
        *last = Some((Instant::now() + fresh, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::{advance, sleep};

    use super::Cached;

    const FRESH: Duration = Duration::from_secs(2);
    const LONGEST: Duration = Duration::from_secs(15);

    #[tokio::test]
    async fn many_who_look_ask_once() {
        let last = Cached::new(FRESH, LONGEST);
        let asked = AtomicU32::new(0);
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            // The other one looks meanwhile.
            yield_now().await;
            Some(7)
        };
        let (one, other) = tokio::join!(last.get(ask), last.get(ask));
        assert_eq!((one.as_deref(), other.as_deref()), (Some(&7), Some(&7)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    /// A database that does not answer is not asked again by each reader, but soon, however long the last question took.
    #[tokio::test(start_paused = true)]
    async fn no_answer_is_one_as_well() {
        let last: Cached<u32> = Cached::new(FRESH, LONGEST);
        let slow = async || {
            sleep(Duration::from_secs(5)).await;
            None
        };
        assert_eq!(last.get(slow).await, None);
        assert_eq!(last.get(async || Some(7)).await, None);
        advance(FRESH).await;
        assert_eq!(last.get(async || Some(7)).await.as_deref(), Some(&7));
    }

    /// One that takes long is asked less often, but asked.
    #[tokio::test(start_paused = true)]
    async fn slow_answers_are_asked_for_less_often() {
        let last: Cached<u32> = Cached::new(FRESH, LONGEST);
        let slow = async || {
            sleep(Duration::from_secs(5)).await;
            Some(7)
        };
        assert_eq!(last.get(slow).await.as_deref(), Some(&7));
        advance(FRESH).await;
        assert_eq!(last.get(async || Some(8)).await.as_deref(), Some(&7));
        advance(LONGEST).await;
        assert_eq!(last.get(async || Some(8)).await.as_deref(), Some(&8));
    }
}
