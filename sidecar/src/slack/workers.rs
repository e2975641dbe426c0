//! The jobs of the Slack app. A new worker is a line in [`WORKERS`].

use std::sync::Arc;

use tokio_postgres::error::SqlState;
use tracing::info;

use super::home::{self, Notice, PICKER, SWITCH_OFF, SWITCH_ON};
use super::payload::Owner;
use crate::app::App;
use crate::database::Job;
use crate::worker::{Failure, Performing, Workers};

/// Publishes the App Home of a user who has opened it.
const APP_HOME: &str = "Slack::AppHomeWorker";
/// Does what somebody asked for in the App Home.
pub(super) const INTERACTION: &str = "Slack::InteractionWorker";

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
        perform: |app, job| Box::pin(interact(app, job)),
    },
];

pub(crate) struct SlackWorkers(Arc<App>);

impl SlackWorkers {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self(app)
    }
}

impl Workers for SlackWorkers {
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

/// For whom a job is.
fn addressee(job: &Job) -> Result<(Owner, &str), Failure> {
    let owner = Owner::of_args(&job.args);
    let user = job.args["user_id"].as_str().filter(|user| !user.is_empty());
    owner
        .zip(user)
        .ok_or(Failure::Arguments("{team_id, enterprise_id, user_id}"))
}

async fn show_home(app: &App, job: &Job) -> Result<(), Failure> {
    let (owner, user) = addressee(job)?;
    home::publish(app, &owner, user, None, None).await
}

async fn interact(app: &App, job: &Job) -> Result<(), Failure> {
    let (owner, user) = addressee(job)?;
    let action = job.args["action"].as_str();
    let id = job.args["slack_integration_id"].as_i64();
    let (Some(action), Some(id)) = (action, id) else {
        return Err(Failure::Arguments("{action, slack_integration_id}"));
    };
    let (picked, notice) = match action {
        PICKER => (Some(id), None),
        SWITCH_ON | SWITCH_OFF => (
            None,
            Some(switch(app, &owner, user, id, action == SWITCH_ON).await?),
        ),
        _ => return Err(Failure::Arguments("an action of the App Home")),
    };
    home::publish(app, &owner, user, picked, notice).await
}

async fn switch(
    app: &App,
    owner: &Owner,
    user: &str,
    id: i64,
    is_active: bool,
) -> Result<Notice, Failure> {
    let is_manager = app.config.managers.contains(user);
    let switched = app
        .database
        .set_active(owner.tenant(), id, user, is_active, is_manager)
        .await;
    match switched {
        Ok((alias, changed)) => {
            info!(
                team = owner.team,
                user, alias, is_active, changed, "switched"
            );
            Ok(Notice::Switched { alias, is_active })
        }
        Err(error) if error.has_code(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            info!(team = owner.team, user, id, "may not switch");
            Ok(Notice::NotAllowed)
        }
        Err(error) if error.has_code(&SqlState::NO_DATA_FOUND) => Ok(Notice::Gone),
        Err(error) => Err(error.into()),
    }
}
