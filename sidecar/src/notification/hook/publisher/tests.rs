//! The order of events, whatever has to wait. Nothing is published here: a task runs only while a test waits.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::parts::Parts;
use super::queue::{Aside, Kind};
use super::submit::Publisher;
use super::waiting::Waiting;
use crate::connection::Address;
use crate::database::SlackDatabase;
use crate::spool::Entry;

const FOR_LONG: Duration = Duration::from_secs(3_600);

fn entry(place: u64, key: &str) -> Arc<Entry> {
    Arc::new(Entry {
        place,
        project: None,
        paths: None,
        key: key.to_owned(),
        request: None,
        event: "{}".to_owned(),
    })
}

fn waiting(place: u64, key: &str) -> Result<Waiting, Box<dyn Error>> {
    Ok(Waiting {
        entry: entry(place, key),
        is_replayed: false,
        answer: oneshot::channel().0,
        until: Instant::now() + FOR_LONG,
        _room: Arc::new(Semaphore::new(1)).try_acquire_owned()?,
    })
}

fn keys<'a>(of: impl IntoIterator<Item = &'a Waiting>) -> Vec<String> {
    of.into_iter().map(|it| it.entry.key.clone()).collect()
}

/// What was behind an event of its place stays behind it: in the same batch, in the queue, and what arrives later.
#[tokio::test]
async fn a_place_is_set_aside_as_a_whole() -> Result<(), Box<dyn Error>> {
    let nowhere = SecretString::from("host=/nowhere dbname=none user=nobody");
    let database = SlackDatabase::new(&Address::new(Some(&nowhere))?, "public", 1)?;
    let publisher = Publisher::new(database, TaskTracker::new(), None);
    let until = Instant::now() + FOR_LONG;
    let submit = |place, key| publisher.submit(entry(place, key), until, false);
    // 0 and 2 share a queue.
    let _answers = [submit(0, "third"), submit(2, "other in the queue")];
    let shared = publisher.queue_of(0).ok_or("no queue")?;
    let Kind::Shared(aside) = &shared.kind else {
        return Err("not shared".into());
    };
    let mut batch = VecDeque::from([waiting(2, "other in the batch")?, waiting(0, "second")?]);
    aside.set_aside(waiting(0, "first")?, &mut batch, shared);
    let _answers = [submit(0, "fourth"), submit(2, "another one")];
    let separate = Aside::queue_of(&mut aside.places(), 0).ok_or("not aside")?;
    let expected = ["first", "second", "third", "fourth"];
    assert_eq!(keys(&*separate.waiting()), expected);
    assert_eq!(keys(&batch), ["other in the batch"]);
    let expected = ["other in the queue", "another one"];
    assert_eq!(keys(&*shared.waiting()), expected);
    Ok(())
}

/// A bad event is found by halves, the others are published in large parts, and all in order.
#[test]
fn a_batch_that_fails_is_tried_in_parts() -> Result<(), Box<dyn Error>> {
    let batch = (0..64).map(|place| waiting(place, &place.to_string()));
    let mut parts = Parts::new(batch.collect::<Result<_, _>>()?, Duration::ZERO);
    let (mut sizes, mut published) = (Vec::new(), Vec::new());
    while let Some(part) = parts.next() {
        sizes.push(part.len());
        match part.iter().any(|it| it.entry.key == "20") {
            false => {
                published.extend(keys(&part));
                parts.succeeded(part.len());
            }
            true if part.len() > 1 => parts.failed(part),
            true => parts.found(),
        }
    }
    let expected: Vec<String> = (0..64)
        .filter(|place| *place != 20)
        .map(|place| place.to_string())
        .collect();
    assert_eq!(published, expected);
    assert!(sizes.len() < 20, "{sizes:?}");
    Ok(())
}
