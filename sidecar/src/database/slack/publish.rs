//! Events of GitLab.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Arguments, SlackDatabase};
use crate::error::Error;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// So many channels are told of it.
    Done {
        deliveries: i32,
    },
    /// It was published before.
    Duplicate,
    UnknownKind,
    Malformed {
        field: String,
    },
    UnknownProject,
}

impl Published {
    /// For counting.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Done { deliveries: 0 } => "told_nobody",
            Self::Done { .. } => "published",
            Self::Duplicate => "duplicate",
            Self::UnknownKind => "unknown_kind",
            Self::Malformed { .. } => "malformed",
            Self::UnknownProject => "unknown_project",
        }
    }
}

impl SlackDatabase {
    /// Publishes events, JSON as it came, each once for its key.
    pub(crate) async fn publish(
        &self,
        events: &[&str],
        keys: &[&str],
    ) -> Result<Vec<Published>, Error> {
        let statement = "
            select outcome, detail, deliveries
              from lockstep.publish_events($1::pg_catalog.text[]::pg_catalog.json[], $2, $3) order by place";
        let arguments: Arguments = &[
            (&events, Type::TEXT_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&self.schema, Type::TEXT),
        ];
        let rows = self.ask(statement, arguments).await?;
        let published = |row: &Row| {
            let detail: Option<String> = row.try_get(1)?;
            Ok(match row.try_get(0)? {
                "published" => Published::Done {
                    deliveries: row.try_get(2)?,
                },
                "duplicate" => Published::Duplicate,
                "unknown_kind" => Published::UnknownKind,
                "unknown_project" => Published::UnknownProject,
                _ => Published::Malformed {
                    field: detail.unwrap_or_default(),
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
