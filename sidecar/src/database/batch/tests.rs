use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep};

use super::rest::{LONGEST_REST, REST, Rest};
use super::{AT_ONCE, Batches, MOST, MOST_WAITING, PATIENCE, Together};
use crate::error::Error;

/// Somebody who answers once the gate is open, and remembers what was asked together.
struct Scene {
    batches: Arc<Batches<How>>,
    gate: Arc<Semaphore>,
    /// One is taken for each session, unless it is closed.
    sessions: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<Vec<usize>>>>,
    cancelled: Arc<AtomicUsize>,
}

struct How {
    gate: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<Vec<usize>>>>,
    cancelled: Arc<AtomicUsize>,
}

impl Together for How {
    type Question = usize;
    type Answer = usize;
    type Session = ();

    const FUNCTION: &'static str = "other";

    async fn session(&self) -> Result<(), Error> {
        let session = self.sessions.acquire().await;
        session.map_err(|_| Error::Busy)?.forget();
        Ok(())
    }

    async fn ask(&self, (): (), numbers: &[usize]) -> Result<Vec<usize>, Error> {
        let guard = Cancelled(Some(Arc::clone(&self.cancelled)));
        self.asked.lock().await.push(numbers.to_vec());
        let permit = self.gate.acquire().await.map_err(|_| Error::Silent)?;
        permit.forget();
        guard.done();
        assert!(!numbers.contains(&FATAL), "on purpose");
        match numbers.contains(&WRONG) {
            true => Err(Error::Token("wrong".to_owned())),
            false => Ok(numbers.iter().map(|it| 2 * it).collect()),
        }
    }
}

type Asking = JoinHandle<Option<Result<usize, Error>>>;

/// Panics on it.
const FATAL: usize = 17;

/// Fails on it.
const WRONG: usize = 13;

/// Counts what is dropped before it is done.
struct Cancelled(Option<Arc<AtomicUsize>>);

impl Cancelled {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(number) = &self.0 {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Scene {
    fn new() -> Self {
        let scene = Self::without_sessions();
        scene.sessions.add_permits(1000);
        scene
    }

    fn without_sessions() -> Self {
        let how = How {
            gate: Arc::new(Semaphore::new(0)),
            sessions: Arc::new(Semaphore::new(0)),
            asked: Arc::default(),
            cancelled: Arc::default(),
        };
        Self {
            gate: Arc::clone(&how.gate),
            sessions: Arc::clone(&how.sessions),
            asked: Arc::clone(&how.asked),
            cancelled: Arc::clone(&how.cancelled),
            batches: Arc::new(Batches::new(how)),
        }
    }

    /// Asks in a task, which has begun when this returns.
    async fn ask(&self, number: usize) -> Asking {
        let batches = Arc::clone(&self.batches);
        let asking = tokio::spawn(async move { batches.answer(number).await });
        settle().await;
        asking
    }

    async fn ask_all(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<Asking> {
        let mut asking = Vec::new();
        for number in numbers {
            asking.push(self.ask(number).await);
        }
        asking
    }

    /// As many batches as may be are under way, of one question each.
    async fn busy(&self) -> Vec<Asking> {
        self.ask_all(0..AT_ONCE).await
    }

    async fn open(&self, batches: usize) {
        self.gate.add_permits(batches);
        settle().await;
    }

    async fn last(&self) -> Vec<usize> {
        self.asked.lock().await.last().cloned().unwrap_or_default()
    }
}

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

async fn answers(asking: Vec<Asking>) -> Vec<Option<usize>> {
    let mut answers = Vec::new();
    for asking in asking {
        answers.push(asking.await.ok().flatten().and_then(Result::ok));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn what_arrives_meanwhile_goes_together_and_each_has_its_own_answer() {
    let scene = Scene::new();
    let first = scene.busy().await;
    let second = scene.ask_all(100..100 + MOST + 1).await;
    assert_eq!(scene.asked.lock().await.len(), AT_ONCE);
    scene.open(1).await;
    assert_eq!(
        scene.last().await,
        (100..100 + MOST).collect::<Vec<_>>(),
        "the first come"
    );
    scene.open(AT_ONCE + 1).await;
    assert_eq!(scene.last().await, [100 + MOST]);
    for (number, answer) in (100..).zip(answers(second).await) {
        assert_eq!(answer, Some(2 * number));
    }
    assert!(answers(first).await.iter().all(Option::is_some));
}

#[tokio::test(start_paused = true)]
async fn one_alone_does_not_wait() {
    let scene = Scene::new();
    scene.open(1).await;
    assert_eq!(answers(vec![scene.ask(7).await]).await, [Some(14)]);
    scene.open(1).await;
    assert_eq!(answers(vec![scene.ask(8).await]).await, [Some(16)]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_together_is_asked_alone_and_the_next_goes_together_again() {
    let scene = Scene::new();
    let first = scene.busy().await;
    let wrong = scene.ask_all([5, WRONG, 6]).await;
    scene.open(AT_ONCE + 1).await;
    assert_eq!(answers(wrong).await, [None, None, None]);
    assert!(answers(first).await.iter().all(Option::is_some));
    scene.open(1).await;
    assert_eq!(answers(vec![scene.ask(9).await]).await, [Some(18)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_stalls_is_cancelled_and_nothing_goes_together_for_a_while() {
    let scene = Scene::new();
    let begun = Instant::now();
    let first = scene.busy().await;
    let second = scene.ask_all([8, 9]).await;
    assert!(answers(first).await.iter().all(Option::is_none));
    assert!(answers(second).await.iter().all(Option::is_none));
    assert!((PATIENCE..2 * PATIENCE).contains(&begun.elapsed()));
    settle().await;
    assert_eq!(scene.cancelled.load(Ordering::Relaxed), AT_ONCE);
    scene.open(1).await;
    assert_eq!(answers(vec![scene.ask(7).await]).await, [None], "it rests");
    advance(REST).await;
    assert_eq!(answers(vec![scene.ask(7).await]).await, [Some(14)]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_cancelled_or_never_asked() {
    let scene = Scene::new();
    let first = scene.busy().await;
    let second = scene.ask_all([8, 9]).await;
    second[0].abort();
    for asking in &first {
        asking.abort();
    }
    settle().await;
    assert_eq!(scene.cancelled.load(Ordering::Relaxed), AT_ONCE);
    assert_eq!(scene.last().await, [9], "what is gone is not asked");
    scene.open(1).await;
    let [_, second] = second.try_into().unwrap_or_else(|_| unreachable!());
    assert_eq!(answers(vec![second]).await, [Some(18)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_somebody_who_waits_goes_on() {
    let scene = Scene::new();
    let first = scene.busy().await;
    let second = scene.ask_all([8, 9]).await;
    scene.open(1).await;
    second[0].abort();
    settle().await;
    assert_eq!(scene.cancelled.load(Ordering::Relaxed), 0);
    scene.open(AT_ONCE).await;
    let second = answers(second).await;
    assert_eq!(second[1], Some(18));
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn rests_grow_until_all_is_well_for_a_while() {
    let mut rest = Rest::default();
    let mut grown = Vec::new();
    for _ in 0..8 {
        let lasting = rest.begin();
        assert_eq!(rest.begin(), lasting, "two batches have one");
        grown.push(lasting.as_secs());
        advance(lasting / 2).await;
        assert_eq!(rest.begin(), lasting / 2, "what is left of it");
        advance(lasting / 2).await;
    }
    assert_eq!(grown, [1, 2, 4, 8, 16, 32, 60, 60]);
    advance(LONGEST_REST + Duration::from_secs(1)).await;
    assert_eq!(rest.begin(), REST);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_session_is_no_stall_and_meanwhile_questions_come_together() {
    let scene = Scene::without_sessions();
    let asking = scene.ask_all([1, 2, 3]).await;
    sleep(10 * PATIENCE).await;
    scene.sessions.add_permits(1);
    scene.open(1).await;
    assert_eq!(scene.last().await, [1, 2, 3]);
    assert_eq!(answers(asking).await, [Some(2), Some(4), Some(6)]);
}

#[tokio::test(start_paused = true)]
async fn without_a_session_each_has_the_error() {
    let scene = Scene::without_sessions();
    let asking = scene.ask_all([1, 2, 3]).await;
    scene.sessions.close();
    for asking in asking {
        let answer = asking.await.ok().flatten();
        assert!(matches!(answer, Some(Err(Error::Busy))), "{answer:?}");
    }
    // Nor is it a reason to rest.
    let answer = scene.ask(4).await.await.ok().flatten();
    assert!(matches!(answer, Some(Err(Error::Busy))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may() {
    let scene = Scene::new();
    let first = scene.busy().await;
    let waiting = scene.ask_all(100..100 + MOST_WAITING).await;
    assert_eq!(answers(vec![scene.ask(7).await]).await, [None], "alone");
    scene.open(100).await;
    assert!(answers(waiting).await.iter().all(Option::is_some));
    assert!(answers(first).await.iter().all(Option::is_some));
}

#[tokio::test(start_paused = true)]
async fn after_a_rest_one_question_finds_out_whether_all_is_well() {
    let scene = Scene::new();
    drop(answers(vec![scene.ask(1).await]).await);
    advance(REST).await;
    let probe = scene.ask(2).await;
    assert_eq!(answers(vec![scene.ask(3).await]).await, [None], "alone");
    // It is gone before it knows: the next one finds out.
    probe.abort();
    settle().await;
    let probe = scene.ask(4).await;
    assert_eq!(scene.last().await, [4]);
    scene.open(1).await;
    assert_eq!(answers(vec![probe]).await, [Some(8)]);
    let together = scene.ask_all([5, 6]).await;
    scene.open(2).await;
    assert_eq!(answers(together).await, [Some(10), Some(12)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_nobody_is_left_waiting() {
    let scene = Scene::new();
    let first = scene.ask_all([FATAL, FATAL]).await;
    let second = scene.ask_all([8, 9]).await;
    scene.open(AT_ONCE).await;
    assert_eq!(answers(second).await, [None, None]);
    assert_eq!(answers(first).await, [None, None]);
    scene.open(1).await;
    assert_eq!(answers(vec![scene.ask(7).await]).await, [Some(14)]);
}
