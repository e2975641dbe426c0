//! The App Home's jobs. A new worker is a line in [`WORKERS`].

use std::sync::Arc;

use serde::Deserialize;

use super::show::{INTERACTION, publish};
use super::state::App;
use super::view::Notice;
use crate::database::Job;
use crate::job::{Failure, Performing, Workers};
use crate::slack::Owner;

/// Publishes the App Home of a user who has opened it.
const APP_HOME: &str = "Slack::AppHomeWorker";

struct Worker {
    name: &'static str,
    perform: for<'a> fn(&'a App, &'a Job) -> Performing<'a>,
}

static WORKERS: [Worker; 2] = [
    Worker {
        name: APP_HOME,
        perform: |app, job| Box::pin(show_home(app, job)),
    },
    Worker {
        name: INTERACTION,
        perform: |app, job| Box::pin(show_outcome(app, job)),
    },
];

pub(crate) struct HomeWorkers(Arc<App>);

impl HomeWorkers {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self(app)
    }
}

impl Workers for HomeWorkers {
    fn names(&self) -> Vec<&'static str> {
        WORKERS.iter().map(|worker| worker.name).collect()
    }

    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a> {
        match WORKERS.iter().find(|worker| worker.name == job.worker) {
            Some(worker) => (worker.perform)(&self.0, job),
            None => Box::pin(async { Err(Failure::NoWorker) }),
        }
    }
}

/// The user that a job is for.
fn addressee(job: &Job) -> Result<(Owner, &str), Failure> {
    let owner = Owner::of_args(&job.args);
    let user = job.args["user_id"].as_str().filter(|user| !user.is_empty());
    owner
        .zip(user)
        .ok_or(Failure::Arguments("{team_id, enterprise_id, user_id}"))
}

async fn show_home(app: &App, job: &Job) -> Result<(), Failure> {
    let (owner, user) = addressee(job)?;
    publish(app, &owner, user, None, None).await
}

async fn show_outcome(app: &App, job: &Job) -> Result<(), Failure> {
    let (owner, user) = addressee(job)?;
    let picked = job.args["picked"].as_i64();
    let notice = Option::<Notice>::deserialize(&job.args["notice"])
        .map_err(|_| Failure::Arguments("{picked, notice}"))?;
    publish(app, &owner, user, picked, notice).await
}
