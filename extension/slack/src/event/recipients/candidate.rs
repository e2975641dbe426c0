//! What might be notified of an event: the integrations of its project, otherwise those of the nearest group that has any,
//! otherwise those of the instance; and the channels that have subscribed to the project.

use super::scope::Scope;
use crate::event::read::{KINDS, Kind};
use crate::event::tables::{Tables, class};
use crate::event::written::Source;
use lockstep_server::{Answer, Statement, View, keys_argument};
use std::collections::{BTreeSet, HashMap};

/// Maximum length of a team id.
const MOST_OF_TEAM: usize = 255;

/// The number of columns before those of the events.
const COLUMNS_BEFORE_EVENTS: usize = 6;

/// What might be notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum By {
    Integration(i64),
    Subscription(i64),
}

impl By {
    pub(crate) fn integration(&self) -> Option<i64> {
        match *self {
            Self::Integration(id) => Some(id),
            Self::Subscription(_) => None,
        }
    }

    pub(crate) fn subscription(&self) -> Option<i64> {
        match *self {
            Self::Integration(_) => None,
            Self::Subscription(id) => Some(id),
        }
    }
}

/// An integration in one workspace, or a subscription.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) by: By,
    pub(crate) is_active: bool,
    pub(crate) inherits_from: Option<i64>,
    /// The team, and the integration's workspace row, or else that of the integration that it inherits from; None if that is in no
    /// workspace either, or the subscription's workspace no longer has the app.
    pub(crate) installed: Option<(Source, String)>,
    events: u32,
}

impl Candidate {
    fn read(row: &Answer) -> Option<Self> {
        let is_on = |place: usize| row.get(COLUMNS_BEFORE_EVENTS + 1 + place) == Some(true);
        let on = KINDS
            .into_iter()
            .enumerate()
            .filter(|(place, _)| is_on(*place));
        let id = row.get(2)?;
        let installed = installation(row.get(5).zip(row.get(6)));
        Some(Self {
            by: By::Integration(id),
            is_active: row.get(3)?,
            inherits_from: row.get(4),
            installed: installed.map(|(row, team)| (Source::Integration { id, row }, team)),
            events: on.fold(0, |events, (_, kind)| events | kind.bit()),
        })
    }

    /// `team` is where the app still is.
    pub(crate) fn of_subscription(id: i64, team: Option<String>, kinds: &[Kind]) -> Self {
        Self {
            by: By::Subscription(id),
            is_active: true,
            inherits_from: None,
            installed: team.map(|team| (Source::Subscription(id), team)),
            events: kinds.iter().fold(0, |events, kind| events | kind.bit()),
        }
    }

    pub(crate) fn integration(&self) -> Option<i64> {
        self.by.integration()
    }

    pub(crate) fn subscription(&self) -> Option<i64> {
        self.by.subscription()
    }

    /// The application has no switch for some kinds: an integration's settings name them.
    pub(super) fn is_told_of(&self, kind: Kind) -> bool {
        let is_named = self.events & kind.bit() != 0;
        is_named || self.integration().is_some() && kind.column().is_none()
    }
}

type ByOwner = HashMap<i64, Vec<Candidate>>;

/// The candidates for a batch.
#[derive(Default)]
pub(crate) struct Candidates {
    of_projects: ByOwner,
    of_groups: ByOwner,
    /// Integrations without organization have an id that no organization has.
    of_organizations: ByOwner,
    /// Besides the integration, by project.
    of_subscriptions: ByOwner,
}

const NO_ORGANIZATION: i64 = i64::MIN;

impl Candidates {
    /// The caller has the rights of the tables' owner.
    pub(crate) fn look_up(tables: &Tables, scopes: &[&Scope]) -> Self {
        let statements = &tables.statements;
        let mut candidates = Self::default();
        let projects = scopes.iter().filter_map(|scope| scope.project);
        candidates.of_projects = read(&statements.of_projects, projects.collect());
        let mut left = scopes.to_vec();
        left.retain(|scope| candidates.of_project(scope).is_none());
        let groups = left.iter().flat_map(|scope| &scope.groups).copied();
        candidates.of_groups = read(&statements.of_groups, groups.collect());
        left.retain(|scope| candidates.of_group(scope).is_none());
        let organizations = left
            .iter()
            .map(|scope| scope.organization.unwrap_or(NO_ORGANIZATION));
        candidates.of_organizations = read(&statements.of_organizations, organizations.collect());
        inherit(&statements.installed, &mut candidates.of_projects);
        inherit(&statements.installed, &mut candidates.of_groups);
        candidates
    }

    pub(crate) fn subscribe(&mut self, project: i64, subscription: Candidate) {
        let of_project = self.of_subscriptions.entry(project).or_default();
        of_project.push(subscription);
    }

    pub(crate) fn of(&self, scope: &Scope) -> Vec<&Candidate> {
        let mut candidates = self.integrations_of(scope);
        let subscriptions = scope.project.and_then(|it| self.of_subscriptions.get(&it));
        candidates.extend(subscriptions.into_iter().flatten());
        candidates
    }

    fn integrations_of(&self, scope: &Scope) -> Vec<&Candidate> {
        let of_owner = self.of_project(scope).or_else(|| self.of_group(scope));
        if let Some(candidates) = of_owner {
            return candidates.iter().collect();
        }
        let owners = [scope.organization, Some(NO_ORGANIZATION)];
        let of_instance = owners
            .iter()
            .flatten()
            .filter_map(|owner| self.of_organizations.get(owner));
        of_instance.flatten().collect()
    }

    fn of_project(&self, scope: &Scope) -> Option<&[Candidate]> {
        self.of_projects.get(&scope.project?).map(Vec::as_slice)
    }

    fn of_group(&self, scope: &Scope) -> Option<&[Candidate]> {
        let found = scope.groups.iter().find_map(|id| self.of_groups.get(id));
        found.map(Vec::as_slice)
    }
}

/// Row and team of a workspace.
type Installation = (i64, String);

/// The workspaces in which an integration notifies: its own, otherwise those of the nearest one that it inherits from.
pub(crate) fn installations(tables: &Tables, integration: i64) -> Vec<Installation> {
    let installed = &tables.statements.installed;
    let nearest = tables.as_owner(|| nearest(installed, BTreeSet::from([integration])));
    let mut found = nearest(integration).unwrap_or_default();
    found.sort_unstable();
    found
}

/// The application usually copies the row of a workspace to the integrations that inherit from its integration, but not always.
fn inherit(statement: &Statement, by_owner: &mut ByOwner) {
    let parent = |it: &Candidate| it.inherits_from.filter(|_| it.installed.is_none());
    let parents: BTreeSet<i64> = by_owner.values().flatten().filter_map(parent).collect();
    if parents.is_empty() {
        return;
    }
    let nearest = nearest(statement, parents);
    for candidates in by_owner.values_mut() {
        let its = std::mem::take(candidates);
        for it in its {
            let Some(found) = parent(&it).and_then(&nearest) else {
                candidates.push(it);
                continue;
            };
            let Some(id) = it.integration() else {
                continue;
            };
            candidates.extend(found.into_iter().map(|(row, team)| Candidate {
                installed: Some((Source::Integration { id, row }, team)),
                ..it.clone()
            }));
        }
        sort(candidates);
    }
}

/// For each of these integrations the workspaces of the nearest one that has any: itself, or one that it inherits from.
fn nearest(
    statement: &Statement,
    mut next: BTreeSet<i64>,
) -> impl Fn(i64) -> Option<Vec<Installation>> + use<> {
    let mut above: HashMap<i64, (Option<i64>, Vec<Installation>)> = HashMap::new();
    while !next.is_empty() {
        let ids: Vec<i64> = next.into_iter().collect();
        statement.rows(View::Own, &[keys_argument(&ids), class()], |row| {
            let Some(id) = row.get(1) else {
                return;
            };
            let (parent, installations) = above.entry(id).or_default();
            *parent = row.get(2);
            installations.extend(installation(row.get(3).zip(row.get(4))));
        });
        let empty = ids.iter().filter_map(|id| above.get(id));
        let empty = empty.filter(|(_, installations)| installations.is_empty());
        next = empty.filter_map(|(parent, _)| *parent).collect();
        next.retain(|id| !above.contains_key(id));
    }
    move |first| {
        let parent = |id: &i64| above.get(id)?.0;
        let mut way = std::iter::successors(Some(first), parent).take(above.len());
        let found = way.find_map(|id| above.get(&id).filter(|(_, found)| !found.is_empty()));
        found.map(|(_, found)| found.clone())
    }
}

fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by_key(|it| {
        let source = it.installed.as_ref().map(|(source, _)| *source);
        (it.integration(), source.and_then(Source::row))
    });
}

/// No team has such an id; it must not keep other events from being delivered.
fn installation(found: Option<Installation>) -> Option<Installation> {
    found.filter(|(_, team)| team.chars().count() <= MOST_OF_TEAM)
}

fn read(statement: &Statement, owners: BTreeSet<i64>) -> ByOwner {
    let mut found = ByOwner::new();
    if owners.is_empty() {
        return found;
    }
    let owners: Vec<i64> = owners.into_iter().collect();
    statement.rows(View::Own, &[keys_argument(&owners), class()], |row| {
        let owner = row.get(1).unwrap_or(NO_ORGANIZATION);
        found.entry(owner).or_default().extend(Candidate::read(row));
    });
    for candidates in found.values_mut() {
        sort(candidates);
    }
    found
}
