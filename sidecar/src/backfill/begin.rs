//! Starts a run, or attaches to the one that the job already has on the table.

use tokio_postgres::error::SqlState;

use super::arguments::Backfill;
use crate::connection::Address;
use crate::database::{Database, Progress, Status};
use crate::error::Error;
use crate::interrupt::Interrupts;

/// A run that is in the way may end before it is read, and another may start.
const MOST_TRIES: u32 = 5;

pub(super) enum Begun {
    Started(i64),
    /// How it was found.
    Attached(Box<Progress>),
    /// Interrupted: if a run was started anyway, its number.
    Interrupted(Option<i64>),
}

impl Begun {
    pub(super) fn run(&self) -> Option<i64> {
        match self {
            Self::Started(run) => Some(*run),
            Self::Attached(progress) => Some(progress.run),
            Self::Interrupted(run) => *run,
        }
    }
}

pub(super) async fn begin(
    address: &Address,
    database: &Database,
    arguments: &Backfill,
    interrupts: &mut Interrupts,
) -> Result<Begun, Error> {
    let token = database.cancel_token();
    let beginning = start_or_attach(database, arguments);
    tokio::pin!(beginning);
    tokio::select! {
        begun = &mut beginning => return begun,
        () = interrupts.next() => {}
    }
    // The statement waits for a lock. Only its result shows whether the server has started the run; it is paused then.
    address.cancel(&token).await;
    let begun = tokio::select! {
        begun = beginning => begun,
        () = interrupts.next() => return Ok(Begun::Interrupted(None)),
    };
    match begun {
        Err(error) if error.has_code(&SqlState::QUERY_CANCELED) => Ok(Begun::Interrupted(None)),
        Err(error) => Err(error),
        Ok(begun) => {
            if let Some(run) = begun.run()
                && !arguments.detach_on_interrupt
            {
                database.pause(run).await?;
            }
            Ok(Begun::Interrupted(begun.run()))
        }
    }
}

async fn start_or_attach(database: &Database, arguments: &Backfill) -> Result<Begun, Error> {
    let Backfill {
        job,
        table,
        workers,
        settings,
        ..
    } = arguments;
    let mut tries = 0;
    loop {
        tries += 1;
        let started = database
            .start(
                job,
                table.as_deref(),
                workers.unwrap_or(1),
                settings.as_ref(),
            )
            .await;
        let error = match started {
            Ok(run) => return Ok(Begun::Started(run)),
            Err(error) => error,
        };
        // The engine itself reports which run is in the way, whatever job and table resolve to.
        let Some(other) = error.run_in_the_way() else {
            return Err(error);
        };
        let progress = match other {
            Some(run) => database.progress(run).await?,
            None => None,
        };
        match progress {
            Some(progress) if !progress.status.is_over() => {
                return attach(database, arguments, progress).await;
            }
            // It has ended by now; if it exists but this role may not see it, the engine's error is the answer.
            _ if tries == MOST_TRIES => return Err(error),
            _ => {}
        }
    }
}

async fn attach(
    database: &Database,
    arguments: &Backfill,
    progress: Progress,
) -> Result<Begun, Error> {
    if progress.job != arguments.job {
        return Err(Error::Occupied {
            run: progress.run,
            job: progress.job,
            table: progress.table,
            status: progress.status.name().to_owned(),
        });
    }
    let (settings, workers) = (arguments.settings.as_ref(), arguments.workers);
    if settings.is_some() || workers.is_some() {
        database.alter(progress.run, settings, workers).await?;
    }
    // Starting workers that are already running does nothing.
    if progress.status == Status::Paused || progress.workers == 0 || workers.is_some() {
        database.resume(progress.run).await?;
    }
    Ok(Begun::Attached(Box::new(progress)))
}
