//! The rules that lead from a workflow to its account. Each step is looked up for many workflows at once, each distinct key once,
//! and cached as long as the resolver lives.

use super::tables::{Look, Tables};
use lockstep_server::{Answer, View, datum, keys_argument};
use pgrx::pg_sys::Datum;
use std::collections::HashMap;
use std::hash::Hash;

/// The ids in a workflow row.
#[derive(Clone, Debug, Default)]
pub(super) struct Workflow {
    pub(super) version: Option<i64>,
    pub(super) item: Option<i64>,
    pub(super) definition: Option<String>,
    pub(super) project: Option<i64>,
    pub(super) namespace: Option<i64>,
}

impl Workflow {
    /// The columns in the order of the statements on workflows.
    pub(super) fn of_row(row: &Answer) -> Self {
        Self {
            version: row.get(2),
            item: row.get(3),
            definition: row.get(4),
            project: row.get(5),
            namespace: row.get(6),
        }
    }
}

/// The outcome of a resolution, by the step at which it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Resolved(i64),
    NoItem,
    NoRootGroup,
    NoConsumer,
    ConsumerWithoutAccount,
}

impl Outcome {
    /// As in the counts of a backfill.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Resolved(_) => "resolved",
            Self::NoItem => "no_item",
            Self::NoRootGroup => "no_root_group",
            Self::NoConsumer => "no_consumer",
            Self::ConsumerWithoutAccount => "consumer_without_account",
        }
    }

    pub(super) fn account(self) -> Option<i64> {
        match self {
            Self::Resolved(account) => Some(account),
            _ => None,
        }
    }
}

/// The consumer that decides for an item in a root group: the one with an account and the lowest id, otherwise any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consumer {
    pub(super) id: i64,
    pub(super) account: Option<i64>,
}

/// The lookups so far. A key without a value leads nowhere.
#[derive(Default)]
pub(super) struct Resolver {
    items_of_versions: HashMap<i64, Option<i64>>,
    items_of_definitions: HashMap<String, Option<i64>>,
    namespaces_of_projects: HashMap<i64, Option<i64>>,
    roots_of_namespaces: HashMap<i64, Option<i64>>,
    /// By root group and item.
    consumers: HashMap<(i64, i64), Option<Consumer>>,
}

impl Resolver {
    /// Looks up what resolving these workflows needs and is not known yet. The caller holds an SPI connection.
    pub(super) fn look_up(&mut self, tables: &Tables, view: View, workflows: &[Workflow]) {
        let versions = workflows.iter().filter_map(|workflow| workflow.version);
        learn(
            &mut self.items_of_versions,
            versions,
            view,
            &tables.items_of_versions,
        );

        let undecided = workflows
            .iter()
            .filter(|workflow| self.item_named(workflow).is_none());
        let definitions = undecided.filter_map(|workflow| workflow.definition.as_deref());
        let definitions: Vec<&str> = unknown(definitions, |definition| {
            self.items_of_definitions.contains_key(*definition)
        });
        self.learn_definitions(&definitions, view, &tables.items_of_definitions);

        // Without an item the rest is not needed.
        let with_item = |workflow: &&Workflow| self.item(workflow).is_some();
        let found: Vec<&Workflow> = workflows.iter().filter(with_item).collect();
        let projects = found.iter().filter_map(|workflow| workflow.project);
        learn(
            &mut self.namespaces_of_projects,
            projects,
            view,
            &tables.namespaces_of_projects,
        );
        let namespaces: Vec<i64> = found.iter().filter_map(|it| self.namespace(it)).collect();
        learn(
            &mut self.roots_of_namespaces,
            namespaces.into_iter(),
            view,
            &tables.roots_of_namespaces,
        );
        let pairs = found.iter().filter_map(|workflow| self.pair(workflow));
        let pairs = unknown(pairs, |pair| self.consumers.contains_key(pair));
        self.learn_consumers(&pairs, view, tables);
    }

    fn learn_definitions(&mut self, definitions: &[&str], view: View, look: &Look) {
        if definitions.is_empty() {
            return;
        }
        for definition in definitions {
            self.items_of_definitions
                .insert((*definition).to_owned(), None);
        }
        let argument = datum(definitions.to_vec());
        look.rows(view, &[argument], |row| {
            if let (Some(definition), Some(item)) = (row.get::<String>(1), row.get::<i64>(2)) {
                let lowest = self.items_of_definitions.entry(definition).or_default();
                *lowest = Some(lowest.map_or(item, |lowest| lowest.min(item)));
            }
        });
    }

    fn learn_consumers(&mut self, pairs: &[(i64, i64)], view: View, tables: &Tables) {
        self.consumers
            .extend(pairs.iter().map(|pair| (*pair, None)));
        let consumers = &mut self.consumers;
        let mut read = |row: &Answer| {
            let [group, item, id, account] = [1, 2, 3, 4].map(|column| row.get::<i64>(column));
            if let (Some(group), Some(item), Some(id)) = (group, item, id)
                && let Some(best) = consumers.get_mut(&(group, item))
            {
                let this = Consumer { id, account };
                if best.is_none_or(|best| this.rank() < best.rank()) {
                    *best = Some(this);
                }
            }
        };
        match pairs {
            [] => (),
            [(group, item)] => {
                let arguments = [Datum::from(*group), Datum::from(*item)];
                tables.consumers_of_one.rows(view, &arguments, read);
            }
            _ => {
                // Each group for itself: a large one is not to be read once per item because others are asked for one.
                let (large, small): (Vec<_>, Vec<_>) = pairs
                    .chunk_by(|one, next| one.0 == next.0)
                    .partition(|of_group| of_group.len() > 2);
                if !large.is_empty() {
                    let groups: Vec<i64> = large.iter().map(|of_group| of_group[0].0).collect();
                    let arguments = [keys_argument(&groups)];
                    tables.consumers_of_many.rows(view, &arguments, &mut read);
                }
                if !small.is_empty() {
                    let (groups, items): (Vec<i64>, Vec<i64>) = small.concat().into_iter().unzip();
                    let arguments = [keys_argument(&groups), keys_argument(&items)];
                    tables.consumers_of_pairs.rows(view, &arguments, read);
                }
            }
        }
    }

    /// The item of the workflow's version, if it names one that exists.
    pub(super) fn item_of_version(&self, workflow: &Workflow) -> Option<i64> {
        *self.items_of_versions.get(&workflow.version?)?
    }

    /// The item of its version, otherwise the one it names itself.
    pub(super) fn item_named(&self, workflow: &Workflow) -> Option<i64> {
        self.item_of_version(workflow).or(workflow.item)
    }

    pub(super) fn item(&self, workflow: &Workflow) -> Option<i64> {
        self.item_named(workflow).or_else(|| {
            let definition = workflow.definition.as_deref()?;
            *self.items_of_definitions.get(definition)?
        })
    }

    /// The namespace of the workflow's project, if it names one, otherwise its own.
    pub(super) fn namespace(&self, workflow: &Workflow) -> Option<i64> {
        match workflow.project {
            Some(project) => *self.namespaces_of_projects.get(&project)?,
            None => workflow.namespace,
        }
    }

    pub(super) fn root_group(&self, workflow: &Workflow) -> Option<i64> {
        *self.roots_of_namespaces.get(&self.namespace(workflow)?)?
    }

    fn pair(&self, workflow: &Workflow) -> Option<(i64, i64)> {
        Some((self.root_group(workflow)?, self.item(workflow)?))
    }

    pub(super) fn consumer(&self, workflow: &Workflow) -> Option<Consumer> {
        *self.consumers.get(&self.pair(workflow)?)?
    }

    /// The outcome for a workflow that was looked up.
    pub(super) fn outcome(&self, workflow: &Workflow) -> Outcome {
        if self.item(workflow).is_none() {
            return Outcome::NoItem;
        }
        if self.root_group(workflow).is_none() {
            return Outcome::NoRootGroup;
        }
        match self.consumer(workflow) {
            None => Outcome::NoConsumer,
            Some(Consumer { account: None, .. }) => Outcome::ConsumerWithoutAccount,
            Some(Consumer {
                account: Some(account),
                ..
            }) => Outcome::Resolved(account),
        }
    }

    /// The number of cached keys.
    pub(super) fn len(&self) -> usize {
        self.items_of_versions.len()
            + self.items_of_definitions.len()
            + self.namespaces_of_projects.len()
            + self.roots_of_namespaces.len()
            + self.consumers.len()
    }
}

impl Consumer {
    /// The lowest rank decides.
    fn rank(self) -> (bool, i64) {
        (self.account.is_none(), self.id)
    }
}

fn learn(
    known: &mut HashMap<i64, Option<i64>>,
    keys: impl Iterator<Item = i64>,
    view: View,
    look: &Look,
) {
    let keys = unknown(keys, |key| known.contains_key(key));
    if keys.is_empty() {
        return;
    }
    known.extend(keys.iter().map(|key| (*key, None)));
    look.rows(view, &[keys_argument(&keys)], |row| {
        if let Some(key) = row.get::<i64>(1) {
            known.insert(key, row.get::<i64>(2));
        }
    });
}

/// Those not yet known, without duplicates, in ascending order.
fn unknown<K: Ord + Hash>(keys: impl Iterator<Item = K>, is_known: impl Fn(&K) -> bool) -> Vec<K> {
    let mut keys: Vec<K> = keys.filter(|key| !is_known(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
