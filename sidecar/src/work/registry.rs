//! GitLab's workers, by all their names. A new one is a line here and a file in this folder.

use super::{cluster, execute, irker};
use crate::database::{Effects, Job};
use crate::error::Error;
use crate::job::{Class, Failure, Performing, Workers};

struct Worker {
    /// The current name, and the one before the rename.
    names: [&'static str; 2],
    perform: for<'a> fn(&'a Effects, &'a Job) -> Performing<'a>,
}

static WORKERS: [Worker; 4] = [
    Worker {
        names: ["Integrations::ExecuteWorker", "ProjectServiceWorker"],
        perform: |effects, job| Box::pin(execute::perform(effects, job)),
    },
    Worker {
        names: ["Integrations::IrkerWorker", "IrkerWorker"],
        perform: |_, job| Box::pin(irker::perform(job)),
    },
    Worker {
        names: [
            "Clusters::Applications::ActivateIntegrationWorker",
            "Clusters::Applications::ActivateServiceWorker",
        ],
        perform: |effects, job| Box::pin(cluster::perform(effects, job, true)),
    },
    Worker {
        names: [
            "Clusters::Applications::DeactivateIntegrationWorker",
            "Clusters::Applications::DeactivateServiceWorker",
        ],
        perform: |effects, job| Box::pin(cluster::perform(effects, job, false)),
    },
];

/// The workers that a process runs.
pub(super) struct HostWorkers {
    names: Vec<&'static str>,
    effects: Effects,
}

impl HostWorkers {
    /// Those requested, by either name; all if none is named.
    pub(super) fn new(wanted: &[String], effects: Effects) -> Result<Self, Error> {
        let names = names(wanted)?;
        Ok(Self { names, effects })
    }
}

impl Workers for HostWorkers {
    fn names(&self) -> Vec<&'static str> {
        self.names.clone()
    }

    fn class<'a>(&self, worker: &'a str) -> Class<'a> {
        class(worker)
    }

    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a> {
        match find(&job.worker) {
            Some(worker) => (worker.perform)(&self.effects, job),
            None => Box::pin(async { Err(Failure::NoWorker) }),
        }
    }
}

/// Both names of each of these workers; of all if none is named.
fn names(wanted: &[String]) -> Result<Vec<&'static str>, Error> {
    let mut names = Vec::new();
    for name in wanted {
        let worker = find(name).ok_or_else(|| Error::Worker {
            name: name.clone(),
            known: WORKERS.each_ref().map(|worker| worker.names[0]).join(", "),
        })?;
        names.extend(worker.names);
    }
    if wanted.is_empty() {
        names.extend(WORKERS.iter().flat_map(|worker| worker.names));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn class(worker: &str) -> Class<'_> {
    let names = find(worker).map(|it| it.names);
    let [name, former] = names.unwrap_or([worker, ""]);
    Class {
        name,
        old_name: (worker == former).then_some(former),
    }
}

fn find(name: &str) -> Option<&'static Worker> {
    WORKERS.iter().find(|worker| worker.names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::{WORKERS, class, names};
    use crate::job::Class;

    #[test]
    fn a_class_has_one_name() {
        let name = "Integrations::IrkerWorker";
        let of = |old_name| Class { name, old_name };
        assert_eq!(class(name), of(None));
        assert_eq!(class("IrkerWorker"), of(Some("IrkerWorker")));
        assert_eq!(class("Other").name, "Other");
    }

    #[test]
    fn either_name_means_both() {
        let both = ["Integrations::IrkerWorker", "IrkerWorker"];
        for name in both {
            let found = names(&[name.to_owned(), name.to_owned()]).unwrap_or_default();
            assert_eq!(found, both);
        }
        let all = names(&[]).unwrap_or_default();
        assert_eq!(all.len(), 2 * WORKERS.len());
        assert!(names(&["Mailer".to_owned()]).is_err());
    }
}
