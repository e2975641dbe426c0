//! The command `serve`: from the first connection to the last.

mod health;
mod heard;
mod listen;
mod metrics;
mod observe;
mod peer;
mod problem;
mod router;
#[cfg(test)]
mod tests;
mod verified;
#[cfg(any(test, feature = "fuzzing"))]
mod without_database;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::app::App;
use crate::command_line::Serve;
use crate::config::Config;
use crate::error::{Error, INTERRUPTED};
use crate::interrupt::Interrupts;
use crate::notification;
use crate::slack::{self, SlackWorkers};
use crate::worker::{Runner, Settings};

pub(crate) use health::fits;
use listen::Listener;
pub(crate) use metrics::{Counter, count};
pub(crate) use peer::Peer;
pub(crate) use problem::Problem;
pub(crate) use router::{
    COMMANDS, EVENTS, INSTALL, INSTALLED, INTERACTIONS, OPTIONS, SIGN_IN, STATUS, STATUS_PART,
    STATUS_SCRIPT, STYLE,
};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use without_database::signed_headers;
#[cfg(feature = "fuzzing")]
pub(crate) use without_database::{SECRET, router_without_database};

const LEASE: Duration = Duration::from_secs(30);

/// A job is noticed at once where the database tells of it; this is for when it does not.
const POLL: Duration = Duration::from_secs(1);

pub(crate) async fn run(arguments: &Serve) -> Result<ExitCode, Error> {
    let config = Config::new(arguments).map_err(Error::Config)?;
    let app = Arc::new(App::new(config, metrics::install()?)?);
    tokio::spawn(metrics::sort(app.metrics.clone()));
    // From here on a signal is not the end of the process: there may be something to finish.
    let mut interrupts = Interrupts::listen()?;
    let mut listeners = vec![listen::bind(app.config.listen).await?];
    let mut routers = Vec::new();
    match app.config.admin_listen {
        Some(address) => {
            listeners.push(listen::bind(address).await?);
            routers.push(router::public(&app));
            routers.push(router::admin(&app));
        }
        None => routers.push(router::public(&app).merge(router::admin(&app))),
    }
    for listener in &listeners {
        announce(listener)?;
    }
    let places = Arc::new(Semaphore::new(listen::most_connections()));
    let listeners: Vec<Listener> = listeners
        .into_iter()
        .zip(routers)
        .map(|(listener, router)| Listener::start(listener, router, Arc::clone(&places)))
        .collect();

    let (stop, stopped) = Interrupts::relayed();
    let mut runner =
        (app.config.job_concurrency > 0).then(|| tokio::spawn(run_jobs(Arc::clone(&app), stopped)));
    let (stop_deliveries, deliveries_stopped) = Interrupts::relayed();
    let mut courier = (app.config.deliveries > 0)
        .then(|| tokio::spawn(notification::deliver(Arc::clone(&app), deliveries_stopped)));
    let mut keeper = tokio::spawn(slack::keep(Arc::clone(&app)));

    // None of the three ends by itself: whoever restarts this program can do more than one that is half of itself.
    tokio::select! {
        () = interrupts.next() => info!("stopping"),
        _ = &mut keeper => return Err(Error::Ended("what refreshes tokens")),
        () = ended(runner.as_mut()) => return Err(Error::Ended("what runs jobs")),
        () = ended(courier.as_mut()) => return Err(Error::Ended("what sends messages")),
    }
    app.drain();
    let finishing = async {
        sleep(app.config.drain_delay).await;
        let _ = stop.send(());
        let _ = stop_deliveries.send(());
        finish(&app, listeners, [runner, courier, Some(keeper)]).await
    };
    let mut status = ExitCode::SUCCESS;
    tokio::select! {
        is_finished = finishing => if !is_finished {
            status = ExitCode::FAILURE;
        },
        () = interrupts.next() => {
            // Jobs are given back even so.
            let _ = stop.send(());
            let _ = stop.send(());
            warn!("what is under way is given up");
            sleep(GIVE_BACK).await;
            status = ExitCode::from(INTERRUPTED);
        }
    }
    info!("stopped");
    Ok(status)
}

/// How long it takes at most to give back jobs.
const GIVE_BACK: Duration = Duration::from_millis(500);

async fn ended(task: Option<&mut JoinHandle<()>>) {
    match task {
        Some(task) => {
            let _ = task.await;
        }
        None => std::future::pending().await,
    }
}

fn announce(listener: &TcpListener) -> Result<(), Error> {
    let address = listener.local_addr()?;
    info!(%address, "listening");
    Ok(())
}

/// Waits for requests, late answers, jobs, messages and refreshed tokens, as long as is granted; whether all ended in that time.
async fn finish(app: &App, listeners: Vec<Listener>, parts: [Option<JoinHandle<()>>; 3]) -> bool {
    let grace = app.config.grace;
    let finishing = async {
        for listener in listeners {
            listener.stop().await;
        }
        app.late.close();
        app.late.wait().await;
        for part in parts.into_iter().flatten() {
            let _ = part.await;
        }
    };
    // The runner counts the same time by itself, and needs a moment more to give back.
    let finished = timeout(grace + 2 * GIVE_BACK, finishing).await;
    if finished.is_err() {
        warn!("the time to finish is over");
    }
    finished.is_ok()
}

/// Runs the app's jobs from when the database is there until told to stop.
async fn run_jobs(app: Arc<App>, mut stopped: Interrupts) {
    let mut pause = FIRST_PAUSE;
    loop {
        let settings = Settings {
            name: None,
            concurrency: app.config.job_concurrency,
            lease: LEASE,
            poll: POLL,
            grace: app.config.grace,
            until_empty: false,
        };
        let workers = Arc::new(SlackWorkers::new(Arc::clone(&app)));
        match Runner::start(settings, app.config.address.clone(), workers).await {
            Ok(runner) => {
                if let Err(error) = runner.work(&mut stopped).await {
                    warn!("{}", error.report());
                }
                return;
            }
            Err(error) => warn!(error = %error.report(), "no jobs are run as yet"),
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = stopped.next() => return,
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
