//! The effective settings of integrations: which channels are notified, and what is filtered out.

use super::review_reminder::Reminders;
use super::route::Route;
use crate::error::Result;
use crate::event::read::{KINDS, Kind};
use crate::event::tables::{Tables, class};
use lockstep_server::kept;
use lockstep_server::{Answer, OwnStatement, View, datum, keys_argument};
use pgrx::pg_sys;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// The settings of one integration, as stored and as shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Settings {
    pub(crate) channels: Vec<String>,
    /// By name of the event kind.
    pub(super) event_channels: BTreeMap<String, Vec<String>>,
    pub(crate) branches: Branches,
    pub(crate) labels: Vec<String>,
    pub(crate) all_labels: bool,
    pub(crate) only_broken_pipelines: bool,
    pub(crate) only_changed_pipelines: bool,
    pub(crate) child_pipelines: bool,
    pub(super) updates: Updates,
    pub(crate) own_actions: bool,
    pub(crate) muted_authors: Vec<String>,
    /// Events that fit one go there, and not to the channels above.
    pub(crate) routes: Vec<Route>,
    /// All that fit count, not just the first one.
    pub(crate) all_routes: bool,
    /// The changes of issues and merge requests that are news, besides those of reviewers and drafts.
    pub(crate) changes: Vec<String>,
    /// Messages mention the people that an event is for.
    pub(crate) mentions: bool,
    /// Slack's user groups, by the path of the group in the application.
    pub(crate) user_groups: BTreeMap<String, String>,
    /// Of a subscription: events without channels of their own go nowhere.
    #[serde(skip)]
    is_exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Branches {
    All,
    Default,
    Protected,
    DefaultAndProtected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Updates {
    Separate,
    Update,
    Thread,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            event_channels: BTreeMap::new(),
            branches: Branches::Default,
            labels: Vec::new(),
            all_labels: false,
            only_broken_pipelines: true,
            only_changed_pipelines: false,
            child_pipelines: false,
            updates: Updates::Separate,
            own_actions: true,
            muted_authors: Vec::new(),
            routes: Vec::new(),
            all_routes: false,
            changes: Vec::new(),
            mentions: false,
            user_groups: BTreeMap::new(),
            is_exact: false,
        }
    }
}

impl Branches {
    pub(crate) const ALL: [Self; 4] = [
        Self::All,
        Self::Default,
        Self::Protected,
        Self::DefaultAndProtected,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Default => "default",
            Self::Protected => "protected",
            Self::DefaultAndProtected => "default_and_protected",
        }
    }

    pub(crate) fn depend_on_protection(self) -> bool {
        matches!(self, Self::Protected | Self::DefaultAndProtected)
    }
}

impl Updates {
    pub(super) const ALL: [Self; 3] = [Self::Separate, Self::Update, Self::Thread];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Separate => "separate",
            Self::Update => "update",
            Self::Thread => "thread",
        }
    }
}

impl Settings {
    /// The defaults, with one channel for some kinds of events, and for what takes one of these routes.
    pub(crate) fn of_channel(channel: &str, kinds: &[Kind], routes: Vec<Route>) -> Self {
        let channels = |kind: &Kind| (kind.name().to_owned(), vec![channel.to_owned()]);
        let to_channel = |route| Route {
            channels: vec![channel.to_owned()],
            ..route
        };
        Self {
            event_channels: kinds.iter().map(channels).collect(),
            routes: routes.into_iter().map(to_channel).collect(),
            is_exact: true,
            ..Self::default()
        }
    }

    /// The columns that [`Settings::read`] reads. Empty lists are returned as null, which is faster to read.
    pub(crate) const COLUMNS: &str = "nullif(s.channels, '{}'), nullif(s.event_channels, '{}')::text, s.branches, nullif(s.labels, '{}'), s.all_labels,
         s.only_broken_pipelines, s.only_changed_pipelines, s.updates, s.own_actions, nullif(s.muted_authors, '{}'), s.child_pipelines,
         nullif(s.routes, '[]')::text, s.all_routes, s.mentions, nullif(s.user_groups, '{}')::text,
         nullif(s.changes, '{}')";

    /// Reads from the columns after the first `before`.
    pub(crate) fn read(row: &Answer, before: usize) -> Self {
        let is_on = |place: usize| row.get(before + place) == Some(true);
        let list = |place: usize| row.get(before + place).unwrap_or_default();
        let event_channels: Option<String> = row.get(before + 2);
        let branches: Option<String> = row.get(before + 3);
        let updates: Option<String> = row.get(before + 8);
        let routes: Option<String> = row.get(before + 12);
        let user_groups: Option<String> = row.get(before + 15);
        Self {
            channels: list(1),
            event_channels: event_channels
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            branches: Branches::ALL
                .into_iter()
                .find(|it| Some(it.name()) == branches.as_deref())
                .unwrap_or(Branches::Default),
            labels: list(4),
            all_labels: is_on(5),
            only_broken_pipelines: is_on(6),
            only_changed_pipelines: is_on(7),
            child_pipelines: is_on(11),
            updates: Updates::ALL
                .into_iter()
                .find(|it| Some(it.name()) == updates.as_deref())
                .unwrap_or(Updates::Separate),
            own_actions: is_on(9),
            muted_authors: list(10),
            routes: routes
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            all_routes: is_on(13),
            changes: list(16),
            mentions: is_on(14),
            user_groups: user_groups
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            is_exact: false,
        }
    }

    pub(crate) fn channels_of(&self, kind: Kind) -> &[String] {
        let own = |kind: Kind| {
            let channels = self.event_channels.get(kind.name());
            channels.filter(|channels| !channels.is_empty())
        };
        let general = kind.general().filter(|_| !self.is_exact);
        let found = own(kind).or_else(|| general.and_then(own));
        match (found, kind.column()) {
            (Some(channels), _) => channels,
            (None, Some(_)) => &self.channels,
            (None, None) => &[],
        }
    }

    /// Every channel that may be notified of such events, the confidential ones among them, too.
    pub(super) fn channels_by_any_route(&self, kind: Kind) -> impl Iterator<Item = &String> {
        self.channels_of(kind).iter().chain(self.routed(kind))
    }

    /// Those that are chosen for such events by name.
    pub(super) fn channels_of_its_own(&self, kind: Kind) -> impl Iterator<Item = &String> {
        let own = self.event_channels.get(kind.name());
        own.into_iter().flatten().chain(self.routed(kind))
    }

    /// A route without events takes no confidential one.
    fn routed(&self, kind: Kind) -> impl Iterator<Item = &String> {
        let routes = self
            .routes
            .iter()
            .filter(move |route| route.takes(kind, true));
        routes.flat_map(|route| &route.channels)
    }

    pub(super) fn has_same_routes(&self, other: &Self) -> bool {
        self.all_routes == other.all_routes && self.routes == other.routes
    }

    pub(super) fn take_routes(&mut self, other: &Self) {
        self.all_routes = other.all_routes;
        self.routes.clone_from(&other.routes);
    }

    /// Another one for other routes, or another order, and for other reminders. With a new version of Rust they may all be others,
    /// which nobody loses by.
    pub(super) fn version(&self, reminders: &Reminders) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.routes, self.all_routes, reminders).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Every channel that is notified of anything, without duplicates.
    pub(crate) fn all_channels(&self) -> Vec<&str> {
        let of_events = KINDS
            .into_iter()
            .filter_map(|kind| self.event_channels.get(kind.name()))
            .flatten();
        let mut seen = BTreeSet::new();
        let of_routes = self.routes.iter().flat_map(|route| &route.channels);
        let all = self.channels.iter().chain(of_events).chain(of_routes);
        let all = all.map(String::as_str);
        all.filter(|channel| seen.insert(*channel)).collect()
    }
}

/// The settings of an integration, and the integration they come from; None means defaults.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) settings: Rc<Settings>,
    pub(crate) from: Option<i64>,
    /// The integration it inherits from if it has no settings, even if that has none either.
    pub(crate) parent: Option<i64>,
}

kept! {
    static READ: OwnStatement = OwnStatement::by_index(
        &format!(
            "select s.integration_id, {} from lockstep_internal.slack_notification s where s.schema = $1 and s.integration_id = any ($2)",
            Settings::COLUMNS
        ),
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
        &["schema"],
    );
}

/// The maximum number of ancestors of an integration: more than groups can be nested. It also ends cycles.
const MOST_LEVELS: usize = 30;

/// The settings of integrations, each given with its parent: its own, otherwise the parent's, and so on.
pub(crate) fn effective(
    tables: &Tables,
    integrations: impl Iterator<Item = (i64, Option<i64>)>,
) -> Result<HashMap<i64, Effective>> {
    let mut parents: HashMap<i64, Option<i64>> = integrations.collect();
    let asked: Vec<i64> = parents.keys().copied().collect();
    let mut found: HashMap<i64, Rc<Settings>> = HashMap::new();
    let mut next: BTreeSet<i64> = parents
        .keys()
        .copied()
        .chain(parents.values().flatten().copied())
        .collect();
    for _ in 0..MOST_LEVELS {
        let ids: Vec<i64> = next.into_iter().collect();
        READ.with(|read| {
            let arguments = [datum(tables.schema.as_str()), keys_argument(&ids)];
            read.rows(&arguments, |row| {
                if let Some(id) = row.get(1) {
                    found.insert(id, Rc::new(Settings::read(row, 1)));
                }
            })
        })?;
        // Ends of chains without settings whose parents are not known yet.
        let ends: BTreeSet<i64> = asked
            .iter()
            .filter_map(|id| end_of_way(*id, &parents, &found))
            .collect();
        if ends.is_empty() {
            break;
        }
        let ends: Vec<i64> = ends.into_iter().collect();
        parents.extend(ends.iter().map(|id| (*id, None)));
        tables.as_owner(|| {
            let query = &tables.statements.parents;
            query.rows(View::Own, &[keys_argument(&ends), class()], |row| {
                if let Some(id) = row.get(1) {
                    parents.insert(id, row.get(2));
                }
            });
        });
        next = ends.iter().filter_map(|id| *parents.get(id)?).collect();
        if next.is_empty() {
            break;
        }
    }
    let defaults = Rc::new(Settings::default());
    let of = |id: i64| {
        let from = way(id, &parents).find(|id| found.contains_key(id));
        let settings = from.and_then(|id| found.get(&id)).unwrap_or(&defaults);
        (
            id,
            Effective {
                settings: Rc::clone(settings),
                from,
                parent: parents.get(&id).copied().flatten(),
            },
        )
    };
    Ok(asked.into_iter().map(of).collect())
}

/// An integration, its parent, and so on, as far as known.
fn way(id: i64, parents: &HashMap<i64, Option<i64>>) -> impl Iterator<Item = i64> {
    let next = |id: &i64| parents.get(id).copied().flatten();
    std::iter::successors(Some(id), next).take(MOST_LEVELS)
}

fn end_of_way(
    id: i64,
    parents: &HashMap<i64, Option<i64>>,
    found: &HashMap<i64, Rc<Settings>>,
) -> Option<i64> {
    if way(id, parents).any(|id| found.contains_key(&id)) {
        return None;
    }
    let last = way(id, parents).last()?;
    (!parents.contains_key(&last)).then_some(last)
}
