//! A pipeline's failed jobs, in stage order.

use std::collections::HashMap;

use lockstep_webhook::{Job, List, Project, Text};

use crate::notification::message::markup::link::link;
use crate::notification::message::markup::list::listed;
use crate::notification::message::markup::user_text::{NAME, line};

/// The space in a field besides its name.
const ROOM: usize = 1_900;

/// Jobs that failed, and jobs that were allowed to fail.
pub(super) struct Failed<'a> {
    broken: Vec<&'a Job<'a>>,
    forgiven: Vec<&'a Job<'a>>,
}

/// The last run of a job counts: a job that passed when retried has not failed.
pub(super) fn failed<'a>(jobs: &'a List<Job<'a>>, stages: &[Text]) -> Failed<'a> {
    let mut last: HashMap<&str, &Job> = HashMap::new();
    for job in jobs.iter() {
        let is_later = |other: &&Job| job.id.get() >= other.id.get();
        if last.get(&**job.name).is_none_or(is_later) {
            last.insert(&job.name, job);
        }
    }
    let place = |job: &Job| {
        let stage = stages.iter().position(|stage| **stage == *job.stage);
        // Ids are integers; anything else comes first.
        (stage.unwrap_or(stages.len()), *job.id)
    };
    let mut failed: Vec<&Job> = last
        .into_values()
        .filter(|job| *job.status == "failed")
        .collect();
    failed.sort_by(|one, other| (place(one), &*one.name).cmp(&(place(other), &*other.name)));
    let (forgiven, broken) = failed.into_iter().partition(|job| *job.allow_failure);
    Failed { broken, forgiven }
}

impl Failed<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.broken.is_empty()
    }

    pub(super) fn has_forgiven(&self) -> bool {
        !self.forgiven.is_empty()
    }

    pub(super) fn stages_name(&self) -> &'static str {
        match self.stage_names().len() {
            1 => "Failed stage",
            _ => "Failed stages",
        }
    }

    pub(super) fn stages(&self) -> String {
        let names = self.stage_names();
        let number = names.len();
        listed(names, ", ", number, ROOM)
    }

    pub(super) fn jobs_name(&self) -> &'static str {
        match self.broken.len() {
            1 => "Failed job",
            _ => "Failed jobs",
        }
    }

    pub(super) fn jobs(&self, project: &Project) -> String {
        linked(&self.broken, project)
    }

    pub(super) fn forgiven(&self, project: &Project) -> String {
        linked(&self.forgiven, project)
    }

    fn stage_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .broken
            .iter()
            .map(|job| line(&job.stage, NAME))
            .collect();
        names.retain(|name| !name.is_empty());
        names.dedup();
        names
    }
}

fn linked(jobs: &[&Job], project: &Project) -> String {
    let names = jobs.iter().map(|job| {
        let name = line(&job.name, NAME);
        let name = if name.is_empty() { "a job" } else { &name };
        let page = job.id.get().map(|id| project.page(&format!("jobs/{id}")));
        link(page.as_deref().unwrap_or_default(), name)
    });
    listed(names, ", ", jobs.len(), ROOM)
}
