//! The session for claiming and completing jobs, and its lease: kept as long as they last, and replaced when lost.

use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::info;

use super::pause;
use crate::connection::Address;
use crate::database::Queue;
use crate::error::{Error, complain};
use crate::retry::until_it_works;

/// What is needed to open a session and get a lease.
pub(super) struct Door {
    pub(super) address: Address,
    pub(super) name: String,
    pub(super) lease: Duration,
    /// Notified when jobs have been enqueued.
    pub(super) wake: Arc<Notify>,
}

impl Door {
    pub(super) async fn open(&self) -> Result<Arc<Queue>, Error> {
        let wake = Arc::clone(&self.wake);
        let queue = Queue::open(&self.address, move || wake.notify_one()).await?;
        Ok(Arc::new(queue))
    }

    pub(super) async fn begin(&self, queue: &Queue) -> Result<i64, Error> {
        queue.start_runner(&self.name, self.lease).await
    }

    /// Opens another session, however long that takes, and returns it with the runner: the same one if its lease is still valid.
    pub(super) async fn open_again(&self, runner: i64) -> (Arc<Queue>, i64) {
        until_it_works("no session with the queue as yet", || {
            self.try_again(runner)
        })
        .await
    }

    async fn try_again(&self, runner: i64) -> Result<(Arc<Queue>, i64), Error> {
        let queue = self.open().await?;
        if queue.heartbeat(runner).await? {
            return Ok((queue, runner));
        }
        let new = self.begin(&queue).await?;
        info!(
            runner = new,
            former = runner,
            "others have the jobs of the former lease"
        );
        Ok((queue, new))
    }

    /// Renews the lease of the current runner until it has ended.
    pub(super) async fn keep_lease(&self, runner: &watch::Receiver<i64>) {
        let mut queue = None;
        let mut failures = 0;
        loop {
            let pause = match failures {
                0 => self.lease / 3,
                failures => pause::length(failures - 1).min(self.lease / 3),
            };
            sleep(pause).await;
            let now = *runner.borrow();
            match self.renew(&mut queue, now).await {
                Ok(true) => failures = 0,
                // It may have got another number in the meantime.
                Ok(false) if now != *runner.borrow() => {}
                Ok(false) => return,
                Err(error) => {
                    complain!(error, "the lease is not renewed as yet");
                    failures = failures.saturating_add(1);
                    if error.needs_new_session() {
                        queue = None;
                    }
                }
            }
        }
    }

    async fn renew(&self, queue: &mut Option<Queue>, runner: i64) -> Result<bool, Error> {
        let queue = match queue {
            Some(queue) => queue,
            None => queue.insert(Queue::open_for_heartbeat(&self.address).await?),
        };
        queue.heartbeat(runner).await
    }
}

/// A name by which to find the process.
pub(super) fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), process::id())
}
