//! What is needed to pass requests on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use url::Url;

use super::address::{Addresses, Answer};
use super::observed::{Seen, Standing};
use super::settings::Settings;
use super::trouble::Trouble;
use crate::alarm::raise;
use crate::error::Error;
use crate::http::{Counter, Timing, count, for_request, time};
use crate::late::Late;
use crate::slack::{Original, SigningSecret};

/// Slack waits for three seconds, including the network.
pub(super) const IN_TIME: Duration = Duration::from_millis(2_500);

/// The maximum number of requests waiting for GitLab. A GitLab that hangs uses these, and nothing that our own commands need.
const PLACES: usize = 64;

pub(crate) struct PassThrough {
    pub(super) gitlab: Addresses,
    pub(super) late: Arc<Late>,
    pub(super) signing_secret: SigningSecret,
    pub(super) standing: Standing,
    places: Semaphore,
}

pub(super) type Outcome = Result<Answer, Trouble>;

impl PassThrough {
    /// None if GitLab's address is not configured.
    pub(crate) fn new(
        settings: &Settings,
        late: Arc<Late>,
        signing_secret: SigningSecret,
    ) -> Result<Option<Arc<Self>>, Error> {
        let gitlab = Addresses::new(settings)?;
        Ok(gitlab.map(|gitlab| {
            Arc::new(Self {
                gitlab,
                late,
                signing_secret,
                standing: Standing::default(),
                places: Semaphore::new(PLACES),
            })
        }))
    }

    pub(crate) fn urls(&self) -> impl Iterator<Item = &Url> {
        self.gitlab.urls()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.standing.get()
    }

    /// Asks GitLab, if there is a free slot.
    pub(super) async fn ask(&self, path: &'static str, original: &Original) -> Outcome {
        let outcome = match self.places.try_acquire() {
            Ok(_place) => {
                let (headers, body) = (&original.headers, &original.body);
                let begun = Instant::now();
                let answered = self.gitlab.post(path, headers, body).await;
                time(Timing::PASSED_ON, path, begun.elapsed());
                answered
            }
            Err(_) => Err(Trouble::Busy),
        };
        self.note(path, outcome.as_ref().err());
        outcome
    }

    /// While the result stays the same it is logged once: there are as many as people give commands.
    fn note(&self, path: &'static str, trouble: Option<&Trouble>) {
        let is_other = self.standing.note(trouble);
        match trouble {
            Some(error) if is_other => {
                warn!(path, %error, "GitLab does not respond as expected");
                raise(
                    "a request was not passed on",
                    &[("integration", path), ("error", error.label())],
                );
            }
            Some(error) => debug!(path, %error, "GitLab does not respond as expected"),
            None if is_other => info!("GitLab answers again"),
            None => {}
        }
    }

    /// The response if it arrives in time. Otherwise None: the request continues, and `late` gets its result.
    pub(super) async fn in_time<F>(
        self: &Arc<Self>,
        asking: impl Future<Output = Outcome> + Send + 'static,
        late: impl FnOnce(Arc<Self>, Outcome) -> F + Send + 'static,
    ) -> Option<Outcome>
    where
        F: Future<Output = ()> + Send,
    {
        let mut asking = Box::pin(asking);
        if let Ok(outcome) = timeout(IN_TIME, &mut asking).await {
            counted(&outcome, "answered");
            return Some(outcome);
        }
        let task = {
            let app = Arc::clone(self);
            async move {
                let outcome = tokio::select! {
                    outcome = asking => outcome,
                    () = app.late.finishing.over.cancelled() => Err(Trouble::Stopped),
                };
                counted(&outcome, "late");
                late(app, outcome).await;
            }
        };
        let tasks = &self.late.finishing.tasks;
        tasks.spawn(for_request(task));
        None
    }

    /// The response if it arrives in time, for requests whose response is useless later.
    pub(super) async fn at_once(&self, path: &'static str, original: &Original) -> Outcome {
        let asking = timeout(IN_TIME, self.ask(path, original));
        let outcome = asking.await.unwrap_or_else(|_| {
            let trouble = Trouble::Slow(IN_TIME);
            self.note(path, Some(&trouble));
            Err(trouble)
        });
        counted(&outcome, "answered");
        outcome
    }
}

fn counted(outcome: &Outcome, if_answered: &'static str) {
    let label = match outcome {
        Ok(answer) if answer.is_own => "not_connected",
        Ok(_) => if_answered,
        Err(trouble) => trouble.label(),
    };
    count(Counter::PASSED_ON, label);
}
