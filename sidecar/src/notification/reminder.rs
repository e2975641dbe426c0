//! Reminders of merge requests that wait for a review, as recurring jobs.

use crate::database::{Job, SlackDatabase};
use crate::job::{Failure, Performing, Workers};

const REMINDER: &str = "Slack::ReviewReminderWorker";

pub(crate) struct ReminderWorkers {
    pub(crate) database: SlackDatabase,
    /// GitLab's address for links, if it is known.
    pub(crate) gitlab: Option<String>,
}

impl Workers for ReminderWorkers {
    fn names(&self) -> Vec<&'static str> {
        vec![REMINDER]
    }

    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a> {
        Box::pin(self.remind(job))
    }
}

impl ReminderWorkers {
    async fn remind(&self, job: &Job) -> Result<(), Failure> {
        let [channel, schema] = ["channel", "schema"].map(|name| &job.args[name]);
        let are_texts = [channel, schema]
            .iter()
            .all(|it| it.is_null() || it.is_string());
        let integration = job.args["integration_id"].as_i64();
        let Some(integration) = integration.filter(|_| are_texts) else {
            return Err(Failure::Arguments("{integration_id, channel, schema}"));
        };
        let gitlab = self.gitlab.as_deref();
        self.database
            .remind_of_reviews(
                integration,
                channel.as_str(),
                gitlab,
                job.id,
                schema.as_str(),
            )
            .await?;
        Ok(())
    }
}
