//! What a runner knows, and how it starts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{self, JoinSet};
use tracing::info;

use crate::connection::Address;
use crate::database::{Job, Queue};
use crate::error::Error;
use crate::job::Workers;
use crate::job::done::Done;
use crate::job::failure::Failure;
use crate::job::pause::Pause;
use crate::job::rate::Rate;
use crate::job::session::{self, Door};

/// Until the first look after jobs were found.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(5);

pub(super) type Outcome = Result<(), Failure>;

pub(super) enum Event {
    Claimed {
        most: usize,
        jobs: Result<Option<Vec<Job>>, Error>,
    },
    HandedIn {
        left: Done,
        error: Option<Error>,
    },
    Compared(Result<i64, Error>),
    Opened(Arc<Queue>, i64),
    LeaseEnded,
}

/// How jobs are run.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The name of this process; host and process number if not given.
    pub(crate) name: Option<String>,
    pub(crate) concurrency: usize,
    pub(crate) lease: Duration,
    pub(crate) poll: Duration,
    pub(crate) grace: Duration,
    pub(crate) until_empty: bool,
    /// Whether a database that refuses the first claim, as for want of a right, ends it.
    pub(crate) gives_up: bool,
}

pub(crate) struct Runner {
    pub(super) door: Arc<Door>,
    pub(super) workers: Arc<dyn Workers>,
    pub(super) names: Arc<[&'static str]>,
    pub(super) concurrency: usize,
    pub(super) poll: Duration,
    pub(super) grace: Duration,
    pub(super) until_empty: bool,
    pub(super) gives_up: bool,

    /// None while the connection is lost.
    pub(super) queue: Option<Arc<Queue>>,
    pub(super) runner: watch::Sender<i64>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) inbox: mpsc::UnboundedReceiver<Event>,

    /// Claimed, not started.
    pub(super) held: VecDeque<Job>,
    pub(super) running: JoinSet<Outcome>,
    pub(super) jobs: HashMap<task::Id, (Job, Instant)>,
    pub(super) done: Done,
    pub(super) rate: Rate,
    /// Also during a comparison, because newly claimed jobs would look unknown.
    pub(super) is_claiming: bool,
    pub(super) is_handing_in: bool,
    /// After calls that the database refused.
    pub(super) claiming: Pause,
    pub(super) handing_in: Pause,
    pub(super) has_claimed: bool,
    /// Why it gave up.
    pub(super) refused: Option<Error>,
    /// There may be unclaimed jobs.
    pub(super) may_have_more: bool,
    /// When to look without a notification: soon after the last jobs, then less and less often. There is no notification for jobs
    /// that were being enqueued just as we started to wait.
    pub(super) next_look: Instant,
    pub(super) pause: Duration,
    /// The server may have assigned us jobs without our knowledge, because a response was lost.
    pub(super) must_compare: bool,
    pub(super) is_stopping: bool,
    pub(super) counts: [u64; 2],
}

impl Runner {
    pub(crate) async fn start(
        settings: Settings,
        address: Address,
        workers: Arc<dyn Workers>,
    ) -> Result<Self, Error> {
        let door = Arc::new(Door {
            address,
            name: settings.name.unwrap_or_else(session::own_name),
            lease: settings.lease,
            wake: Arc::new(Notify::new()),
        });
        let queue = door.open().await?;
        let number = door.begin(&queue).await?;
        info!(runner = number, name = door.name, "started");
        let (runner, number) = watch::channel(number);
        let (events, inbox) = mpsc::unbounded_channel();
        spawn_heartbeat(&door, number, &events);
        Ok(Self {
            door,
            names: workers.names().into(),
            workers,
            concurrency: settings.concurrency,
            poll: settings.poll,
            grace: settings.grace,
            until_empty: settings.until_empty,
            gives_up: settings.gives_up,
            queue: Some(queue),
            runner,
            events,
            inbox,
            held: VecDeque::new(),
            running: JoinSet::new(),
            jobs: HashMap::new(),
            done: Done::default(),
            rate: Rate::new(),
            is_claiming: false,
            is_handing_in: false,
            claiming: Pause::default(),
            handing_in: Pause::default(),
            has_claimed: false,
            refused: None,
            may_have_more: true,
            next_look: Instant::now(),
            pause: FIRST_PAUSE,
            must_compare: false,
            is_stopping: false,
            counts: [0; 2],
        })
    }
}

pub(super) fn spawn_heartbeat(
    door: &Arc<Door>,
    runner: watch::Receiver<i64>,
    events: &mpsc::UnboundedSender<Event>,
) {
    let (door, events) = (Arc::clone(door), events.clone());
    tokio::spawn(async move {
        door.keep_lease(&runner).await;
        let _ = events.send(Event::LeaseEnded);
    });
}
