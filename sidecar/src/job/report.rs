//! What the log says of a job, in the fields that dashboards of workers use.

use std::time::Duration;

use tracing::{debug, warn};

use super::Class;
use super::failure::Failure;
use crate::alarm::raise;
use crate::database::Job;

pub(super) fn done(job: &Job, class: Class, took: Duration) {
    let duration_s = took.as_secs_f64();
    debug!(
        class = class.name,
        old_name = class.old_name,
        jid = job.id,
        attempt = job.attempt,
        job_status = "done",
        duration_s,
        "done"
    );
}

pub(super) fn failed(job: &Job, class: Class, took: Duration, failure: &Failure) {
    let duration_s = took.as_secs_f64();
    macro_rules! told {
        ($level:ident) => {
            $level!(
                class = class.name,
                old_name = class.old_name,
                jid = job.id,
                attempt = job.attempt,
                job_status = "fail",
                duration_s,
                error_class = failure.class(),
                error_message = %failure,
                "failed"
            )
        };
    }
    // The outage is logged by itself.
    if failure.is_outage() {
        told!(debug);
        return;
    }
    told!(warn);
    let mut names = vec![("worker", class.name), ("error_class", failure.class())];
    names.extend(class.old_name.map(|name| ("old_name", name)));
    raise("a job failed", &names);
}
