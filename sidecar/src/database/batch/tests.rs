use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance, sleep};

use super::{AT_ONCE, Batches, LONGEST_REST, MOST, PATIENCE, REST, Rest};
use crate::error::Error;

type Numbers = Batches<usize, usize>;

/// Somebody who answers once the gate is open, and remembers what was asked together.
struct Scene {
    batches: Arc<Numbers>,
    gate: Arc<Semaphore>,
    asked: Arc<Mutex<Vec<Vec<usize>>>>,
    cancelled: Arc<AtomicUsize>,
}

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
        Self {
            batches: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            asked: Arc::default(),
            cancelled: Arc::default(),
        }
    }

    /// Asks in a task, which has begun when this returns.
    async fn ask(&self, number: usize) -> JoinHandle<Option<usize>> {
        let (gate, asked) = (Arc::clone(&self.gate), Arc::clone(&self.asked));
        let cancelled = Arc::clone(&self.cancelled);
        let ask = move |numbers: Vec<usize>| {
            let (gate, asked) = (Arc::clone(&gate), Arc::clone(&asked));
            let guard = Cancelled(Some(Arc::clone(&cancelled)));
            async move {
                asked.lock().await.push(numbers.clone());
                let permit = gate.acquire().await.map_err(|_| Error::Silent)?;
                permit.forget();
                guard.done();
                match numbers.contains(&WRONG) {
                    true => Err(Error::Silent),
                    false => Ok(numbers.into_iter().map(|it| 2 * it).collect()),
                }
            }
        };
        let batches = Arc::clone(&self.batches);
        let asking = tokio::spawn(async move { batches.answer(number, ask).await });
        settle().await;
        asking
    }

    async fn ask_all(
        &self,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Vec<JoinHandle<Option<usize>>> {
        let mut asking = Vec::new();
        for number in numbers {
            asking.push(self.ask(number).await);
        }
        asking
    }

    /// As many batches as may be are under way, of one question each.
    async fn busy(&self) -> Vec<JoinHandle<Option<usize>>> {
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

async fn answers(asking: Vec<JoinHandle<Option<usize>>>) -> Vec<Option<usize>> {
    let mut answers = Vec::new();
    for asking in asking {
        answers.push(asking.await.ok().flatten());
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
    let mut rest = Rest {
        until: None,
        next: REST,
    };
    let mut grown = Vec::new();
    for _ in 0..8 {
        let lasting = rest.begin();
        assert_eq!(rest.begin().min(lasting), lasting, "two batches have one");
        grown.push(lasting.as_secs());
        sleep(lasting).await;
    }
    assert_eq!(grown, [1, 2, 4, 8, 16, 32, 60, 60]);
    sleep(LONGEST_REST + Duration::from_secs(1)).await;
    assert_eq!(rest.begin(), REST);
}
