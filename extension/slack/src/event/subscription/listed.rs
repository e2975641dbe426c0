//! Subscriptions as they are listed: with the current path of the project, and whether messages are sent at all.

use crate::account::{Accounts, Asked, MAINTAINER};
use crate::error::Result;
use crate::event::read::Place;
use crate::event::recipients::{Reason, Scope, Scopes};
use crate::event::tables::Tables;
use crate::slack_workspace::with_token;
use crate::subscription::{Subscriber, Subscription};
use lockstep_server::host::{path_of, qualified};
use lockstep_server::{Statement, View, keys_argument};
use pgrx::{JsonB, pg_sys};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Listed {
    pub(super) subscription: Subscription,
    /// None if the project is gone.
    pub(super) path: Option<String>,
    /// `active`, or why nothing is sent.
    pub(super) state: &'static str,
    scope: Option<Scope>,
}

/// The conditions of a subscription, as they are shown.
pub(super) fn conditions_of(subscription: &Subscription) -> Option<JsonB> {
    serde_json::from_str(&subscription.routes).ok().map(JsonB)
}

/// As they are listed.
pub(super) fn listed(tables: &Tables, found: Vec<Subscription>) -> Result<Vec<Listed>> {
    let schema = tables.schema.as_str();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let projects: BTreeSet<i64> = found.iter().map(|it| it.project).collect();
    let projects: Vec<i64> = projects.into_iter().collect();
    let teams = with_token(schema, found.iter().map(|it| it.team.as_str()))?;
    let (scopes, paths) = look_up(tables, &projects);
    let listed = |it: Subscription| Listed {
        path: paths.get(&it.project).cloned(),
        state: match scopes.get(&it.project).map(Scope::quiet) {
            None => Reason::ProjectGone.name(),
            Some(Some(reason)) => reason.name(),
            Some(None) if !teams.contains(&it.team) => Reason::NotInstalled.name(),
            Some(None) => "active",
        },
        scope: scopes.get(&it.project).cloned(),
        subscription: it,
    };
    Ok(found.into_iter().map(listed).collect())
}

/// Of each, whether the user who subscribed could do it now; None if it was an administrator.
pub(super) fn allowed(schema: &str, listed: &[Listed]) -> Result<Vec<Option<bool>>> {
    let asked = |it: &Listed| {
        let subscription = &it.subscription;
        asked(
            subscription.by.as_ref()?,
            subscription.project,
            it.scope.as_ref()?,
        )
    };
    let all: BTreeSet<Asked> = listed.iter().filter_map(asked).collect();
    let holding = match Accounts::find(schema)? {
        Some(accounts) if !all.is_empty() => accounts.holding(all),
        _ => BTreeSet::new(),
    };
    let is_allowed = |it: &Listed| asked(it).is_some_and(|it| holding.contains(&it));
    let listed = listed.iter();
    Ok(listed
        .map(|it| it.subscription.by.is_some().then(|| is_allowed(it)))
        .collect())
}

/// The role that a user must have to follow the project.
pub(super) fn asked(by: &Subscriber, project: i64, scope: &Scope) -> Option<Asked> {
    Some(Asked {
        team: by.workspace.clone(),
        user: by.user.clone(),
        namespace: scope.groups.first().copied()?,
        project: Some(project),
        role: MAINTAINER,
    })
}

/// Where these projects are, and their full paths.
fn look_up(tables: &Tables, projects: &[i64]) -> (BTreeMap<i64, Scope>, BTreeMap<i64, String>) {
    let mut paths = BTreeMap::new();
    if projects.is_empty() {
        return (BTreeMap::new(), paths);
    }
    let text = format!(
        "select p.id::pg_catalog.int8, {} operator(pg_catalog.||) '/' operator(pg_catalog.||) p.path::pg_catalog.text
           from {} p join {} n on n.id == p.namespace_id where p.id == any ($1)",
        path_of(&tables.namespaces, "n"),
        tables.projects.qualified_name(),
        tables.namespaces.qualified_name()
    );
    let query = Statement::new(&qualified(&text), &[pg_sys::INT8ARRAYOID]);
    let places: Vec<Place> = projects.iter().copied().map(Place::Project).collect();
    let scopes = tables.as_owner(|| {
        query.rows(View::Newest, &[keys_argument(projects)], |row| {
            paths.extend(row.get::<i64>(1).zip(row.get::<String>(2)));
        });
        Scopes::look_up(tables, places.iter())
    });
    let found = projects.iter().zip(&places);
    let found = found.filter_map(|(project, place)| Some((*project, scopes.of(place)?.clone())));
    (found.collect(), paths)
}

/// Where a project is, with its full path.
pub(super) fn project(tables: &Tables, id: i64) -> Option<(Scope, String)> {
    let (mut scopes, mut paths) = look_up(tables, &[id]);
    scopes.remove(&id).zip(paths.remove(&id))
}
