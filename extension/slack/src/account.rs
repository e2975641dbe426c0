//! The GitLab account that a Slack user has linked, and its role in projects and groups.

use crate::error::Result;
use lockstep_server::host::{Relation, check_have_one_owner, qualified};
use lockstep_server::{Answer, Statement, View, as_owner, connected, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

/// The application tables needed for this, all with the same owner.
pub(crate) struct Accounts {
    names: Relation,
    users: Relation,
    members: Relation,
    namespaces: Relation,
}

/// A place in which a role is checked.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The caller's key for it.
    pub(crate) key: i64,
    /// The group, or the project's namespace: roles in its ancestors count as well.
    pub(crate) namespace: i64,
    pub(crate) project: Option<i64>,
}

/// A role that somebody must have there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) team: String,
    /// Slack's id.
    pub(crate) user: String,
    pub(crate) namespace: i64,
    pub(crate) project: Option<i64>,
    pub(crate) role: i32,
}

/// Roles, with the application's numbers.
pub(crate) const GUEST: i32 = 10;
pub(crate) const REPORTER: i32 = 20;
pub(crate) const MAINTAINER: i32 = 40;

const IS_USER: &str = "c.chat_id::pg_catalog.text == p.chat";

/// For each place the workspace, the user and the role.
struct Who<'a> {
    places: &'a [Place],
    teams: Vec<&'a str>,
    users: Vec<&'a str>,
    roles: Vec<i32>,
}

impl Accounts {
    pub(crate) fn new(
        names: Relation,
        users: Relation,
        members: Relation,
        namespaces: Relation,
    ) -> Result<Self> {
        check_have_one_owner(&[&members, &names, &namespaces, &users])?;
        Ok(Self {
            names,
            users,
            members,
            namespaces,
        })
    }

    /// None if the application has no such tables.
    pub(crate) fn find(schema: &str) -> Result<Option<Self>> {
        const NEEDED: [(&str, &[&str]); 4] = [
            ("chat_names", &["user_id", "team_id", "chat_id"]),
            ("users", &["id"]),
            (
                "members",
                &["user_id", "source_id", "source_type", "access_level"],
            ),
            ("namespaces", &["id", "parent_id"]),
        ];
        let mut found = Vec::new();
        for (name, columns) in NEEDED {
            let table = Relation::find_table(schema, name)?;
            let has_all =
                |table: &Relation| columns.iter().all(|it| table.find_column(it).is_some());
            let Some(table) = table.filter(has_all) else {
                return Ok(None);
            };
            found.push(table);
        }
        let Ok([names, users, members, namespaces]) = <[Relation; 4]>::try_from(found) else {
            return Ok(None);
        };
        Self::new(names, users, members, namespaces).map(Some)
    }

    /// The keys of the places in which a Slack user has at least this role, directly or through an ancestor, by a linked and
    /// active account.
    pub(crate) fn with_role(
        &self,
        team: &str,
        user: &str,
        places: &[Place],
        role: i32,
    ) -> Vec<i64> {
        let who = Who {
            places,
            teams: vec![team; places.len()],
            users: vec![user; places.len()],
            roles: vec![role; places.len()],
        };
        let mut found = Vec::new();
        self.members("p.key", IS_USER, &who, |row| {
            found.extend(row.get::<i64>(1))
        });
        found
    }

    /// Those that hold, by one query.
    pub(crate) fn holding(&self, asked: BTreeSet<Asked>) -> BTreeSet<Asked> {
        let asked: Vec<Asked> = asked.into_iter().collect();
        let places: Vec<Place> = (0..)
            .zip(&asked)
            .map(|(key, it)| Place {
                key,
                namespace: it.namespace,
                project: it.project,
            })
            .collect();
        let who = Who {
            places: &places,
            teams: asked.iter().map(|it| it.team.as_str()).collect(),
            users: asked.iter().map(|it| it.user.as_str()).collect(),
            roles: asked.iter().map(|it| it.role).collect(),
        };
        let mut found = BTreeSet::new();
        if !asked.is_empty() {
            self.members("p.key", IS_USER, &who, |row| {
                let place = row.get::<i64>(1).and_then(|it| usize::try_from(it).ok());
                found.extend(place.and_then(|place| asked.get(place)).cloned());
            });
        }
        found
    }

    /// Whether a Slack user has linked an account.
    pub(crate) fn is_linked(&self, team: &str, user: &str) -> bool {
        let text = format!(
            "select from {c} c join {u} u on u.id == c.user_id
              where c.team_id::pg_catalog.text == $1 and c.chat_id::pg_catalog.text == $2 limit 1",
            c = self.names.qualified_name(),
            u = self.users.qualified_name(),
        );
        let query = Statement::new(&qualified(&text), &[pg_sys::TEXTOID, pg_sys::TEXTOID]);
        let mut is_linked = false;
        as_owner(&self.names.rights(), || {
            connected(|| {
                query.rows(View::Newest, &[datum(team), datum(user)], |_| {
                    is_linked = true
                })
            })
        });
        is_linked
    }

    /// The names of the accounts of these Slack users, each given with the workspace.
    pub(crate) fn usernames(
        &self,
        of: &BTreeSet<(&str, &str)>,
    ) -> BTreeMap<(String, String), String> {
        let mut names = BTreeMap::new();
        if self.users.find_column("username").is_none() {
            return names;
        }
        let text = format!(
            "select c.team_id::pg_catalog.text, c.chat_id::pg_catalog.text, u.username::pg_catalog.text
               from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2)) p (team, chat)
               join {c} c on c.team_id::pg_catalog.text == p.team and c.chat_id::pg_catalog.text == p.chat
               join {u} u on u.id == c.user_id",
            c = self.names.qualified_name(),
            u = self.users.qualified_name(),
        );
        let query = Statement::new(
            &qualified(&text),
            &[pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID],
        );
        let (teams, users): (Vec<&str>, Vec<&str>) = of.iter().copied().unzip();
        as_owner(&self.names.rights(), || {
            connected(|| {
                query.rows(View::Newest, &[datum(teams), datum(users)], |row| {
                    let user = row.get::<String>(1).zip(row.get::<String>(2));
                    names.extend(user.zip(row.get::<String>(3)));
                })
            })
        });
        names
    }

    /// The Slack users of a workspace who have at least this role in any of the places, at most that many.
    pub(crate) fn people_with_role(
        &self,
        team: &str,
        places: &[Place],
        role: i32,
        most: usize,
    ) -> Vec<String> {
        let who = Who {
            places,
            teams: vec![team; places.len()],
            users: vec![""; places.len()],
            roles: vec![role; places.len()],
        };
        let mut found = Vec::new();
        self.members("c.chat_id::pg_catalog.text", "true", &who, |row| {
            if found.len() < most {
                found.extend(row.get::<String>(1));
            }
        });
        found
    }

    /// What is wanted of effective members with at least these roles, each once.
    fn members(&self, wanted: &str, is_user: &str, who: &Who, mut found: impl FnMut(&Answer)) {
        let text = format!(
            "with recursive places (key, namespace, project, team, chat, role) as materialized (
                 select * from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3),
                                          pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6))),
               above (key, id, parent_id) as (
                 select p.key, n.id::pg_catalog.int8, n.parent_id::pg_catalog.int8 from places p join {n} n on n.id == p.namespace
                 union
                 select a.key, n.id::pg_catalog.int8, n.parent_id::pg_catalog.int8 from {n} n join above a on n.id == a.parent_id)
             select distinct {wanted} from places p
               cross join {c} c
               join {u} u on u.id == c.user_id
               join {m} m on m.user_id == c.user_id
              where c.team_id::pg_catalog.text == p.team and {is_user} and {conditions}
                and m.access_level operator(pg_catalog.>=) p.role
                and (m.source_type::pg_catalog.text == 'Namespace' and exists (
                       select from above a where a.key == p.key and a.id == m.source_id)
                     or m.source_type::pg_catalog.text == 'Project' and m.source_id == p.project)",
            n = self.namespaces.qualified_name(),
            c = self.names.qualified_name(),
            m = self.members.qualified_name(),
            u = self.users.qualified_name(),
            conditions = self.conditions(),
        );
        let query = Statement::new(
            &qualified(&text),
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT4ARRAYOID,
            ],
        );
        let keys =
            |of: fn(&Place) -> i64| keys_argument(&who.places.iter().map(of).collect::<Vec<_>>());
        let arguments = [
            keys(|place| place.key),
            keys(|place| place.namespace),
            // No project has this id.
            keys(|place| place.project.unwrap_or(0)),
            datum(who.teams.clone()),
            datum(who.users.clone()),
            datum(who.roles.clone()),
        ];
        as_owner(&self.members.rights(), || {
            connected(|| query.rows(View::Newest, &arguments, |row| found(row)))
        });
    }

    /// The conditions for an effective member. Not every GitLab version has all of these columns.
    fn conditions(&self) -> String {
        let (members, users) = (&self.members, &self.users);
        let optional = [
            // Blocked, banned, deactivated and not yet approved accounts are in other states.
            (users, "state", "u.state::pg_catalog.text == 'active'"),
            // Excludes members waiting for a seat or for approval.
            (members, "state", "m.state == 0"),
            (members, "requested_at", "m.requested_at is null"),
            (
                members,
                "expires_at",
                "(m.expires_at is null or m.expires_at::pg_catalog.date operator(pg_catalog.>)
                  pg_catalog.timezone('utc', pg_catalog.clock_timestamp())::pg_catalog.date)",
            ),
        ];
        let there =
            |(table, column, _): &(&Relation, &str, &str)| table.find_column(column).is_some();
        let conditions = optional.into_iter().filter(there).map(|(.., it)| it);
        let conditions: Vec<&str> = std::iter::once("true").chain(conditions).collect();
        conditions.join(" and ")
    }
}
