//! Switches an integration on or off for all projects of a cluster.

use serde::Deserialize;
use tracing::debug;

use crate::database::{Effects, Job};
use crate::job::Failure;

/// The cluster, and the integration's name, such as `prometheus`.
#[derive(Deserialize)]
struct Arguments(i64, String);

pub(super) async fn perform(effects: &Effects, job: &Job, active: bool) -> Result<(), Failure> {
    let Ok(Arguments(cluster, integration)) = Arguments::deserialize(&job.args) else {
        return Err(Failure::Arguments("[cluster id, name of an integration]"));
    };
    let rows = effects
        .set_cluster_integration(cluster, &integration, active)
        .await?;
    debug!(job = job.id, cluster, rows, active, "switched");
    Ok(())
}
