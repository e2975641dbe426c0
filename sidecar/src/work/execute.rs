//! Notifies an integration of an event. For now the event is recorded; its delivery comes later.

use serde::Deserialize;
use serde_json::Value;
use tracing::debug;

use crate::database::{Effects, Job};
use crate::job::Failure;

/// As Sidekiq passes them, in order, or by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments {
    InOrder(i64, Value),
    Named { integration_id: i64, data: Value },
}

pub(super) async fn perform(effects: &Effects, job: &Job) -> Result<(), Failure> {
    let arguments = Arguments::deserialize(&job.args)
        .map_err(|_| Failure::Arguments("[integration id, data]"))?;
    let (Arguments::InOrder(integration, data)
    | Arguments::Named {
        integration_id: integration,
        data,
    }) = arguments;
    let exists = effects.record_event(integration, &data, job.id).await?;
    if !exists {
        // Removed since the job was enqueued: nobody is notified any more.
        debug!(job = job.id, integration, "the integration is gone");
    }
    Ok(())
}
