//! Events from GitLab.

use std::time::Duration;

use tokio_postgres::Row;

use super::SlackDatabase;
use crate::error::Error;

/// The result of publishing an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// This many channels will be notified.
    Done {
        deliveries: i32,
    },
    /// It was published before.
    Duplicate,
    UnknownKind {
        kind: String,
    },
    Malformed {
        field: String,
    },
    UnknownProject,
    /// The database cannot store such a text.
    Unstorable,
}

impl Published {
    /// The label for counting.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Done { deliveries: 0 } => "told_nobody",
            Self::Done { .. } => "published",
            Self::Duplicate => "duplicate",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::Malformed { .. } => "malformed",
            Self::UnknownProject => "unknown_project",
            Self::Unstorable => "unstorable",
        }
    }
}

/// Names are short; longer text need not be repeated completely.
fn shown(name: Option<String>) -> String {
    name.unwrap_or_default().chars().take(100).collect()
}

impl SlackDatabase {
    /// Sends a list of the merge requests that wait for a review, if there are any.
    pub(crate) async fn remind_of_reviews(
        &self,
        integration: i64,
        channel: Option<&str>,
        gitlab_url: Option<&str>,
        job: i64,
        schema: Option<&str>,
    ) -> Result<i64, Error> {
        let schema = schema.unwrap_or(&self.schema);
        let statement = "select lockstep_api.remind_of_reviews($1, $2, $3, $4, $5)";
        self.value(
            statement,
            &[&integration, &channel, &gitlab_url, &job, &schema],
        )
        .await
    }

    /// Whether a project, or one of its groups, has or had one of these paths.
    pub(crate) async fn is_project_within(
        &self,
        project: i64,
        paths: &[String],
    ) -> Result<bool, Error> {
        let statement = "select lockstep_api.is_project_within($1, $2, $3)";
        self.value(statement, &[&project, &paths, &self.schema])
            .await
    }

    /// Publishes events, as the JSON that was received, each once per key, whichever webhooks sent it: see `requests` of the
    /// function. `patience` is how long it waits for another transaction.
    pub(crate) async fn publish(
        &self,
        events: &[&str],
        keys: &[&str],
        requests: &[Option<&str>],
        patience: Duration,
    ) -> Result<Vec<Published>, Error> {
        // Arguments are evaluated before the call, and the setting ends with the statement.
        let statement = "
            select outcome, detail, deliveries
              from lockstep_api.publish_events($1::pg_catalog.text[]::pg_catalog.json[], $2, $3,
                     case when pg_catalog.set_config('lock_timeout', $5, true) is not null then $4 end) order by place";
        let patience = format!("{}ms", patience.as_millis());
        let rows = self
            .ask(
                statement,
                &[&events, &keys, &requests, &self.schema, &patience],
            )
            .await?;
        let published = |row: &Row| {
            let detail: Option<String> = row.try_get(1)?;
            Ok(match row.try_get(0)? {
                "published" => Published::Done {
                    deliveries: row.try_get(2)?,
                },
                "duplicate" => Published::Duplicate,
                "unknown_kind" => Published::UnknownKind {
                    kind: shown(detail),
                },
                "unknown_project" => Published::UnknownProject,
                _ => Published::Malformed {
                    field: shown(detail),
                },
            })
        };
        let published: Vec<Published> = rows.iter().map(published).collect::<Result<_, Error>>()?;
        match published.len() == events.len() {
            true => Ok(published),
            false => Err(Error::Silent),
        }
    }
}
