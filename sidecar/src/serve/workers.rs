//! The jobs of all features, by the name of their worker.

use std::sync::Arc;

use crate::database::Job;
use crate::job::{Failure, Performing, Workers};

pub(super) struct All(pub(super) Vec<Arc<dyn Workers>>);

impl Workers for All {
    fn names(&self) -> Vec<&'static str> {
        self.0.iter().flat_map(|workers| workers.names()).collect()
    }

    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a> {
        let is_its = |workers: &&Arc<dyn Workers>| workers.names().contains(&&*job.worker);
        match self.0.iter().find(is_its) {
            Some(workers) => workers.perform(job),
            None => Box::pin(async { Err(Failure::NoWorker) }),
        }
    }
}
