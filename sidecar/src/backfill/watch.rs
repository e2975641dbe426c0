//! Watches a run until it ends or the user interrupts, reconnecting as often as necessary.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tracing::debug;

use super::display::Display;
use crate::connection::Address;
use crate::database::{Database, Progress, SetAside, Status};
use crate::error::Error;
use crate::interrupt::Interrupts;

/// How often the database is queried. A query takes about a millisecond.
const INTERVAL: Duration = Duration::from_millis(500);

/// While pausing, a person waits.
const PAUSING_INTERVAL: Duration = Duration::from_millis(100);

/// How long a run may be without a worker: new workers take a moment, those of a server recovering from a crash a second or two.
const WITHOUT_WORKERS: Duration = Duration::from_secs(5);

/// How often workers are started that process no row.
const MOST_STARTS: u32 = 3;

const RECONNECT_FOR: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The number of ranges that a summary lists.
const MOST_SET_ASIDE: i64 = 10;

pub(super) enum End {
    Over(Progress),
    /// Workers were started and ended without progress, or gave up and paused the run.
    WithoutWorkers(Progress),
    /// Interrupted; nobody works on it any more.
    Paused(Progress),
    /// Interrupted, without waiting for it.
    Left {
        pausing: bool,
    },
}

pub(super) struct Watch {
    address: Address,
    database: Database,
    run: i64,
    detach: bool,
}

impl Watch {
    pub(super) fn new(address: Address, database: Database, run: i64, detach: bool) -> Self {
        Self {
            address,
            database,
            run,
            detach,
        }
    }

    pub(super) async fn set_aside(&self) -> Result<Vec<SetAside>, Error> {
        self.database.set_aside(self.run, MOST_SET_ASIDE).await
    }

    pub(super) async fn until_the_end(
        &mut self,
        interrupts: &mut Interrupts,
        display: &mut Display,
    ) -> Result<End, Error> {
        let end = tokio::select! {
            end = self.follow(display) => return end,
            () = interrupts.next() => self.detach,
        };
        if end {
            return Ok(End::Left { pausing: false });
        }
        display.note("pausing; a second Ctrl-C does not wait for the current sub-batches");
        tokio::select! {
            end = self.pause(display) => end,
            () = interrupts.next() => Ok(End::Left { pausing: true }),
        }
    }

    async fn follow(&mut self, display: &mut Display) -> Result<End, Error> {
        let mut absence = Absence::default();
        loop {
            let progress = self.progress(display).await?;
            if progress.status.is_over() {
                return Ok(End::Over(progress));
            }
            display.show(&progress);
            match absence.look(&progress) {
                Verdict::Fine => {}
                Verdict::Start => {
                    display.note("there is no worker: starting workers");
                    match self.database.resume(self.run).await {
                        // It ended or the connection is lost; the next query shows which.
                        Err(error) if error.is_lost_connection() || is_wrong_status(&error) => {
                            debug!(%error, "could not resume");
                        }
                        answer => answer?,
                    }
                }
                Verdict::GiveUp => return Ok(End::WithoutWorkers(progress)),
            }
            sleep(INTERVAL).await;
        }
    }

    /// Pauses the run and waits until nobody works on it.
    async fn pause(&mut self, display: &mut Display) -> Result<End, Error> {
        loop {
            match self.database.pause(self.run).await {
                Ok(()) => break,
                // Ended, or paused by somebody else.
                Err(error) if is_wrong_status(&error) => break,
                Err(error) if error.is_lost_connection() => self.reconnect(error, display).await?,
                Err(error) => return Err(error),
            }
        }
        loop {
            let progress = self.progress(display).await?;
            if progress.status.is_over() {
                return Ok(End::Over(progress));
            }
            display.show(&progress);
            if progress.workers == 0 {
                return Ok(End::Paused(progress));
            }
            sleep(PAUSING_INTERVAL).await;
        }
    }

    async fn progress(&mut self, display: &mut Display) -> Result<Progress, Error> {
        loop {
            match self.database.progress(self.run).await {
                Ok(progress) => return progress.ok_or(Error::Gone { run: self.run }),
                Err(error) if error.is_lost_connection() => self.reconnect(error, display).await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn reconnect(&mut self, cause: Error, display: &mut Display) -> Result<(), Error> {
        let (begun, mut wait, mut cause) = (Instant::now(), FIRST_WAIT, cause);
        display.note("connection lost; the run continues by itself; reconnecting");
        while begun.elapsed() < RECONNECT_FOR {
            match Database::open(&self.address).await {
                Ok(database) => {
                    self.database = database;
                    display.note("connected again");
                    return Ok(());
                }
                Err(error) => cause = error,
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Err(Error::Lost {
            run: self.run,
            seconds: RECONNECT_FOR.as_secs(),
            source: Box::new(cause),
        })
    }
}

fn is_wrong_status(error: &Error) -> bool {
    error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
}

enum Verdict {
    Fine,
    Start,
    GiveUp,
}

/// Records since when nobody works on the run.
#[derive(Default)]
struct Absence {
    since: Option<Instant>,
    starts: u32,
    scanned: i64,
}

impl Absence {
    fn look(&mut self, progress: &Progress) -> Verdict {
        if progress.scanned > self.scanned {
            self.scanned = progress.scanned;
            self.starts = 0;
        }
        if progress.status == Status::Paused && progress.held_by.is_some() {
            return Verdict::GiveUp;
        }
        if progress.status == Status::Paused || progress.workers > 0 {
            self.since = None;
            return Verdict::Fine;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < WITHOUT_WORKERS {
            return Verdict::Fine;
        }
        if self.starts == MOST_STARTS {
            return Verdict::GiveUp;
        }
        self.starts += 1;
        self.since = None;
        Verdict::Start
    }
}
