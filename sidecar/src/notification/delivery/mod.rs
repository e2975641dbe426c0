//! Sends messages to channels. One loop decides: it claims what may be sent now, sends each message in its own task ([`send`]),
//! and reports the outcomes. The database keeps the order and pace of each channel, so any number of processes can do this.

mod answer;
mod send;
mod state;

use std::collections::HashMap;
use std::iter;
use std::mem;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span, warn};

use crate::alarm::raise;
use crate::database::{Delivery, Finished, Outcome};
use crate::error::{Error, complain};
use crate::http::{Counter, count};

pub(crate) use state::Delivering;

/// Longer than three requests to Slack take, with a wait before one of them: an update that is refused, the plain one, and a reply.
const LEASE: Duration = Duration::from_secs(45);

/// Deliveries are noticed at once if the database notifies; this is for the other cases, and for those that other processes left.
const POLL: Duration = Duration::from_secs(1);

/// Until the first look after some were found; then less and less often. The database does not notify of those that were being
/// published just as we started to wait.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Deliveries that become due within this time are claimed together.
const TOGETHER: Duration = Duration::from_millis(4);

/// After a database error.
const PAUSE: Duration = Duration::from_millis(500);

/// When the database is back: longer than reporting what was sent takes.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Slack's limit per channel: the time between two requests.
const SPACING: Duration = Duration::from_secs(1);

type Joined = Result<(task::Id, (Outcome, Option<Instant>)), JoinError>;

impl Delivering {
    /// Delivers until told to stop; messages in flight are finished.
    pub(crate) async fn deliver(self: Arc<Self>, stop: CancellationToken) {
        let wake = Arc::clone(&self.wake);
        let mut courier = Courier::new(self);
        loop {
            // First, so that messages sent while the database was away are not claimed again.
            courier.hand_in().await;
            courier.claim().await;
            let next = courier.next_look;
            tokio::select! {
                () = stop.cancelled() => break,
                () = wake.notified() => {
                    courier.pause = FIRST_PAUSE;
                    courier.look_at(Instant::now() + TOGETHER);
                }
                () = sleep_until(next.into()), if courier.has_room() => {}
                Some(joined) = courier.sending.join_next_with_id() => courier.end(joined),
            }
        }
        let finishing = timeout(courier.app.grace, courier.finish()).await;
        if finishing.is_err() {
            warn!("the time to finish is over; what was being sent may be sent twice");
        }
    }
}

/// What is known about a delivery in flight.
struct Sending {
    delivery: i64,
    lease: i64,
    failures: i32,
}

struct Courier {
    app: Arc<Delivering>,
    sending: JoinSet<(Outcome, Option<Instant>)>,
    sent: HashMap<task::Id, Sending>,
    finished: Vec<Finished>,
    /// When to look for more.
    next_look: Instant,
    /// No look is earlier.
    not_before: Instant,
    /// From the last look to the next one, without a notification.
    pause: Duration,
    /// Whether the database did not respond the last time.
    was_away: bool,
}

impl Courier {
    fn new(app: Arc<Delivering>) -> Self {
        Self {
            app,
            sending: JoinSet::new(),
            sent: HashMap::new(),
            finished: Vec::new(),
            next_look: Instant::now(),
            not_before: Instant::now(),
            pause: FIRST_PAUSE,
            was_away: false,
        }
    }

    fn room(&self) -> usize {
        self.app.most.saturating_sub(self.sending.len())
    }

    fn has_room(&self) -> bool {
        self.room() > 0
    }

    fn look_at(&mut self, moment: Instant) {
        self.next_look = self.next_look.min(moment).max(self.not_before);
    }

    /// Claims what may be sent now, if it is time to look.
    async fn claim(&mut self) {
        if !self.has_room() || !self.finished.is_empty() || self.next_look > Instant::now() {
            return;
        }
        let begun = Instant::now();
        self.next_look = begun + POLL;
        let looked = match self.was_away {
            true => self.try_look().await,
            false => self.try_claim().await,
        };
        if let Err(error) = looked {
            complain!(error, "cannot look for deliveries");
            self.was_away = true;
            self.next_look = Instant::now() + PAUSE;
        }
        // With very many waiting channels a look takes long, and must not be all that the database does.
        let rest = begun.elapsed().min(POLL);
        self.not_before = self.not_before.max(Instant::now() + rest);
        self.next_look = self.next_look.max(self.not_before);
    }

    /// Whether the database is back. Then everyone gets time to report what they sent in the meantime, before it counts as lost.
    async fn try_look(&mut self) -> Result<(), Error> {
        let rate = self.app.workspace_rate;
        self.app.database.delivery_wait(rate).await?;
        self.was_away = false;
        self.next_look = Instant::now() + AFTERWARDS;
        self.not_before = self.next_look;
        Ok(())
    }

    async fn try_claim(&mut self) -> Result<(), Error> {
        let room = self.room();
        let rate = self.app.workspace_rate;
        let claimed = self
            .app
            .database
            .claim_deliveries(room, LEASE, rate)
            .await?;
        let is_all = claimed.len() < room;
        self.pause = match claimed.is_empty() {
            true => (self.pause * 2).min(POLL),
            false => FIRST_PAUSE,
        };
        self.look_at(Instant::now() + self.pause);
        for delivery in claimed {
            self.begin(delivery);
        }
        if !is_all {
            self.look_at(Instant::now());
        } else if let Some(wait) = self.app.database.delivery_wait(rate).await? {
            self.look_at(Instant::now() + wait.max(TOGETHER));
        }
        Ok(())
    }

    fn begin(&mut self, delivery: Delivery) {
        let sending = Sending {
            delivery: delivery.id,
            lease: delivery.lease,
            failures: delivery.failures,
        };
        let app = Arc::clone(&self.app);
        let span = debug_span!("delivery", delivery = delivery.id);
        let task = self
            .sending
            .spawn(async move { send::send(&app, &delivery).await }.instrument(span));
        self.sent.insert(task.id(), sending);
    }

    fn end(&mut self, joined: Joined) {
        let (task, ended) = match joined {
            Ok((task, ended)) => (task, Some(ended)),
            Err(error) => {
                warn!(%error, "a delivery broke off");
                (error.id(), None)
            }
        };
        let Some(Sending {
            delivery,
            lease,
            failures,
        }) = self.sent.remove(&task)
        else {
            return;
        };
        let (outcome, begun) = ended.unwrap_or_else(|| (send::broken_off(failures), None));
        count(Counter::DELIVERIES, outcome.name());
        debug!(delivery, outcome = outcome.name(), "sent");
        if let Outcome::Failed { error, .. } = &outcome {
            let names = [
                ("integration", "gitlab_slack_application"),
                ("error", &**error),
            ];
            raise("a message was not delivered", &names);
        }
        let wait = match &outcome {
            Outcome::Retry { wait, .. }
            | Outcome::Uncertain { wait, .. }
            | Outcome::RateLimited { wait } => *wait,
            Outcome::LostMessage | Outcome::Superseded => Duration::ZERO,
            Outcome::Delivered { .. } | Outcome::Failed { .. } => {
                SPACING.saturating_sub(begun.map_or(SPACING, |begun| begun.elapsed()))
            }
        };
        self.look_at(Instant::now() + wait + TOGETHER);
        self.finished.push(Finished {
            delivery,
            lease,
            outcome,
            begun,
        });
    }

    /// Reports what has been sent, including what finishes in the meantime.
    async fn hand_in(&mut self) {
        while let Some(joined) = self.sending.try_join_next_with_id() {
            self.end(joined);
        }
        if self.finished.is_empty() {
            return;
        }
        let finished = mem::take(&mut self.finished);
        match self.app.database.finish_deliveries(&finished).await {
            Ok(counted) => {
                let late = finished
                    .len()
                    .saturating_sub(usize::try_from(counted).unwrap_or_default());
                if late > 0 {
                    warn!(late, "reported too late: others may send them again");
                }
            }
            Err(error) if error.is_wrong_data() => {
                complain!(error, "deliveries are reported one by one");
                self.hand_in_singly(finished).await;
            }
            Err(error) => self.put_back(finished, &error).await,
        }
    }

    /// A report that the database rejects must not block others. Its lease expires, and the message is sent again.
    async fn hand_in_singly(&mut self, finished: Vec<Finished>) {
        let mut left = finished.into_iter();
        while let Some(it) = left.next() {
            match self
                .app
                .database
                .finish_deliveries(slice::from_ref(&it))
                .await
            {
                Ok(_) => {}
                Err(error) if error.is_wrong_data() => {
                    complain!(
                        error,
                        delivery = it.delivery,
                        "what became of a delivery is refused"
                    );
                }
                Err(error) => {
                    let back = iter::once(it).chain(left).collect();
                    return self.put_back(back, &error).await;
                }
            }
        }
    }

    async fn put_back(&mut self, finished: Vec<Finished>, error: &Error) {
        complain!(error, "deliveries are not reported yet");
        self.finished.extend(finished);
        // Others may be in the same situation, and must not count as lost as soon as the database is back.
        self.was_away |= error.is_lost_connection();
        sleep(PAUSE).await;
    }

    /// Waits for messages in flight, and reports them.
    async fn finish(&mut self) {
        while let Some(joined) = self.sending.join_next_with_id().await {
            self.end(joined);
        }
        while !self.finished.is_empty() {
            self.hand_in().await;
        }
    }
}
