//! The jobs of a pipeline that failed, in the order of its stages.

use std::collections::HashMap;

use serde::Deserialize;

use crate::notification::message::link::{link, path};
use crate::notification::message::list::listed;
use crate::notification::message::payload::{Flag, Number, Part, Project, Text};
use crate::notification::message::user_text::{NAME, line};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    id: Number,
    stage: Text,
    name: Text,
    status: Text,
    allow_failure: Flag,
}

/// What a field holds beside its name.
const ROOM: usize = 1_900;

/// Those that failed for good, and those that were allowed to.
pub(super) struct Failed<'a> {
    broken: Vec<&'a Job>,
    forgiven: Vec<&'a Job>,
}

/// Of the runs of a job the last one counts: what was retried and passed has not failed.
pub(super) fn failed<'a>(jobs: &'a [Part<Job>], stages: &[Text]) -> Failed<'a> {
    let mut last: HashMap<&str, &Job> = HashMap::new();
    for job in jobs {
        let is_later = |other: &&Job| job.id.0 >= other.id.0;
        if last.get(&*job.name).is_none_or(is_later) {
            last.insert(&job.name, job);
        }
    }
    let place = |job: &Job| {
        let stage = stages.iter().position(|stage| **stage == *job.stage);
        // Ids are whole numbers; what is none comes first.
        (
            stage.unwrap_or(stages.len()),
            job.id.0.unwrap_or_default() as i64,
        )
    };
    let mut failed: Vec<&Job> = last
        .into_values()
        .filter(|job| &*job.status == "failed")
        .collect();
    failed.sort_by(|one, other| (place(one), &*one.name).cmp(&(place(other), &*other.name)));
    let (forgiven, broken) = failed
        .into_iter()
        .partition(|job| job.allow_failure.is_set());
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
        let page = job
            .id
            .0
            .map(|id| project.page(&format!("jobs/{}", path(&id.to_string()))));
        link(page.as_deref().unwrap_or_default(), name)
    });
    listed(names, ", ", jobs.len(), ROOM)
}
