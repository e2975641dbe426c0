//! The command `serve`: from the first connection to the last.

mod arguments;
mod collect;
mod compose;
mod config;
mod drift;
mod health;
mod history;
mod keys;
mod listen;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "fuzzing"))]
mod without_database;
mod workers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::connection::Address;
use crate::database::FUNCTIONS;
use crate::error::{Error, INTERRUPTED, complain};
use crate::http;
use crate::interrupt::{Finishing, Interrupts};
use crate::job::{Runner, Settings};
use crate::notification;
use crate::pass_through;
use crate::resume::keep_resuming;
use crate::retry::until_it_works;

pub(crate) use arguments::Serve;
use compose::Parts;
pub(crate) use config::Config;
pub(crate) use health::misfit;
use keys::{Fit, fits, while_fits};
use listen::Listener;
#[cfg(feature = "fuzzing")]
pub(crate) use without_database::{SECRET, router_without_database};
use workers::All;

const LEASE: Duration = Duration::from_secs(30);

/// Jobs are noticed at once if the database notifies; this is for the other cases.
const POLL: Duration = Duration::from_secs(1);

pub(crate) async fn run(arguments: &Serve) -> Result<ExitCode, Error> {
    let config = Config::new(arguments).map_err(Error::Config)?;
    let metrics = http::install(&FUNCTIONS)?;
    tokio::spawn(http::sort(metrics.clone()));
    let Parts {
        config,
        public,
        admin,
        workers,
        delivering,
        hooks,
        keeper,
        drift,
        for_history,
        lost_backfills,
        pass_through,
        key_check,
        finishing,
        draining,
    } = Parts::new(config, metrics)?;
    // From here on a signal does not end the process: there may be something to finish.
    let mut interrupts = Interrupts::listen_to_hangup()?;
    let listeners = [
        listen::bind(config.listen)?,
        listen::bind(config.admin_listen)?,
    ];
    let [address, admin_address] = [listeners[0].local_addr()?, listeners[1].local_addr()?];
    info!(%address, %admin_address, "listening");
    let is_behind_proxy = config.forwarded_for;
    let places = [listen::most_connections(), listen::ADMIN_CONNECTIONS];
    let listeners: Vec<Listener> = listeners
        .into_iter()
        .zip([public, admin])
        .zip(places)
        .map(|((listener, router), places)| {
            Listener::start(listener, router, is_behind_proxy, places)
        })
        .collect();

    if let Some(pass_through) = pass_through {
        tokio::spawn(pass_through::announce(pass_through));
    }
    let stop = finishing.stop.clone();
    let at_once = CancellationToken::new();
    let fit = key_check.fit.subscribe();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(key_check.keep_looking()).await;
        }
    });
    let mut runner = (config.job_concurrency > 0).then(|| {
        let settings = Settings {
            name: None,
            concurrency: config.job_concurrency,
            lease: LEASE,
            poll: POLL,
            grace: config.grace,
            until_empty: false,
            gives_up: false,
        };
        let (address, at_once) = (config.address.clone(), at_once.clone());
        let running = move |stop| {
            let stopped = Interrupts::told(stop, at_once.clone());
            run_jobs(settings.clone(), address.clone(), workers.clone(), stopped)
        };
        tokio::spawn(while_fits(fit.clone(), stop.clone(), running))
    });
    let mut courier = (config.deliveries > 0).then(|| {
        let delivering = Arc::new(delivering);
        let delivering = move |stop| Arc::clone(&delivering).deliver(stop);
        tokio::spawn(while_fits(fit.clone(), stop.clone(), delivering))
    });
    if let Some((database, period)) = drift {
        let counting = drift::keep_counting(database, period);
        let stop_counting = stop.clone();
        let counting = async move {
            stop_counting.run_until_cancelled(counting).await;
        };
        tokio::spawn(after(fit.clone(), stop.clone(), counting));
    }
    let recording = {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(history::keep_recording(for_history))
                .await;
        }
    };
    tokio::spawn(after(fit.clone(), stop.clone(), recording));
    let resuming = {
        let stop = stop.clone();
        async move {
            stop.run_until_cancelled(keep_resuming(lost_backfills))
                .await;
        }
    };
    tokio::spawn(after(fit.clone(), stop.clone(), resuming));
    let keeper = Arc::new(keeper);
    let keeping = move |stop| Arc::clone(&keeper).keep(stop);
    let mut keeper = tokio::spawn(while_fits(fit, draining.clone(), keeping));
    // Nothing of it needs a token.
    let mut replaying = tokio::spawn(notification::replay(hooks, stop.clone()));

    // None of the four ends by itself: a program that is restarted can do more than one that is half broken.
    tokio::select! {
        () = interrupts.next() => info!("stopping"),
        _ = &mut keeper => return Err(Error::Ended("the token refresher")),
        () = ended(runner.as_mut()) => return Err(Error::Ended("the job runner")),
        () = ended(courier.as_mut()) => return Err(Error::Ended("the message sender")),
        _ = &mut replaying => return Err(Error::Ended("the replay of webhooks")),
    }
    draining.cancel();
    let finishing = async {
        let _ = timeout(config.drain_delay, stop.cancelled()).await;
        stop.cancel();
        finish(
            config.grace,
            finishing,
            listeners,
            [runner, courier, Some(keeper), Some(replaying)],
        )
        .await
    };
    tokio::pin!(finishing);
    let mut status = ExitCode::SUCCESS;
    tokio::select! {
        is_finished = &mut finishing => if !is_finished {
            status = ExitCode::FAILURE;
        },
        () = interrupts.next() => {
            stop.cancel();
            at_once.cancel();
            warn!("unfinished work is abandoned");
            // Jobs are still returned.
            let _ = timeout(4 * GIVE_BACK, finishing).await;
            status = ExitCode::from(INTERRUPTED);
        }
    }
    info!("stopped");
    Ok(status)
}

/// How long returning jobs takes, unless the database is slow.
const GIVE_BACK: Duration = Duration::from_millis(500);

async fn ended(task: Option<&mut JoinHandle<()>>) {
    match task {
        Some(task) => {
            let _ = task.await;
        }
        None => std::future::pending().await,
    }
}

/// Tasks that need no token still start once the token keys are known to fit; if the program stops first, there is nothing to do.
async fn after(
    mut fit: watch::Receiver<Fit>,
    stop: CancellationToken,
    task: impl Future<Output = ()>,
) {
    if fits(&mut fit, &stop).await {
        task.await;
    }
}

/// Waits for requests, late answers, jobs, messages and refreshed tokens, as long as allowed; returns whether all finished in
/// time. What is left then gets a moment to be left to others.
async fn finish(
    grace: Duration,
    under_way: Finishing,
    listeners: Vec<Listener>,
    parts: [Option<JoinHandle<()>>; 4],
) -> bool {
    let tasks = under_way.tasks;
    let finishing = async {
        for listener in listeners {
            listener.stop().await;
        }
        tasks.close();
        tasks.wait().await;
        for part in parts.into_iter().flatten() {
            let _ = part.await;
        }
    };
    tokio::pin!(finishing);
    if timeout(grace, &mut finishing).await.is_ok() {
        return true;
    }
    under_way.over.cancel();
    // The runner has the same timeout, and needs a moment more to return jobs.
    let finished = timeout(2 * GIVE_BACK, finishing).await;
    if finished.is_err() {
        warn!("the time to finish is over");
    }
    finished.is_ok()
}

/// Runs the app's jobs from when the database is available until told to stop.
async fn run_jobs(
    settings: Settings,
    address: Address,
    workers: Arc<All>,
    mut stopped: Interrupts,
) {
    let starting = until_it_works("no jobs are running yet", || {
        Runner::start(settings.clone(), address.clone(), workers.clone())
    });
    let runner = tokio::select! {
        runner = starting => runner,
        () = stopped.next() => return,
    };
    if let Err(error) = runner.work(&mut stopped).await {
        complain!(error, "no jobs are run any more");
    }
}
