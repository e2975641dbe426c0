//! The application tables that chatops reads, with the required columns.

use crate::error::{ChatopsError, Error, Result};
use lockstep_server::host::{self, Answer, Relation};
use lockstep_server::{Answer as Row, Statement, View, as_owner, connected};
use pgrx::pg_sys::Datum;

/// A table and the columns that are read from it.
pub(super) struct Needed(pub(super) &'static str, pub(super) &'static [&'static str]);

pub(super) const PROJECTS: Needed = Needed("projects", &["id", "path", "namespace_id"]);
pub(super) const NAMESPACES: Needed = Needed("namespaces", &["id", "path", "parent_id", "type"]);
pub(super) const USERS: Needed = Needed("users", &["id", "username"]);
pub(super) const ROUTES: Needed = Needed("routes", &["source_id", "source_type", "path"]);
pub(super) const CHAT_NAMES: Needed = Needed("chat_names", &["user_id", "team_id", "chat_id"]);
pub(super) const MEMBERS: Needed = Needed(
    "members",
    &["user_id", "source_id", "source_type", "access_level"],
);
pub(super) const MERGE_REQUESTS: Needed = Needed(
    "merge_requests",
    &[
        "id",
        "iid",
        "target_project_id",
        "title",
        "state_id",
        "merge_commit_sha",
        "squash_commit_sha",
    ],
);
pub(super) const DEPLOYMENTS: Needed = Needed(
    "deployments",
    &[
        "id",
        "environment_id",
        "ref",
        "sha",
        "status",
        "created_at",
        "finished_at",
    ],
);
pub(super) const ENVIRONMENTS: Needed = Needed("environments", &["id", "project_id", "name"]);
pub(super) const DEPLOYED: Needed = Needed(
    "deployment_merge_requests",
    &["deployment_id", "merge_request_id"],
);

/// The tables that `auto_deploy status` and `release check` read.
const OF_DEPLOYMENTS: [Needed; 5] = [
    DEPLOYMENTS,
    ENVIRONMENTS,
    DEPLOYED,
    MERGE_REQUESTS,
    PROJECTS,
];

/// The table, if it exists and has the required columns.
pub(super) fn find(needed: &Needed, schema: &str) -> Result<Relation> {
    let Needed(name, columns) = *needed;
    let missing = |what: String| -> Error {
        ChatopsError::HostLacks {
            schema: schema.to_owned(),
            what,
        }
        .into()
    };
    let Some(table) = Relation::find_table(schema, name)? else {
        host::check_schema(schema)?;
        return Err(missing(format!("table {name}")));
    };
    match columns.iter().find(|it| table.find_column(it).is_none()) {
        Some(column) => Err(missing(format!("column {column} of {name}"))),
        None => Ok(table),
    }
}

/// The same, or None if the application has no such table.
pub(super) fn find_optional(needed: &Needed, schema: &str) -> Result<Option<Relation>> {
    match Relation::find_table(schema, needed.0)? {
        Some(_) => find(needed, schema).map(Some),
        None => Ok(None),
    }
}

/// Reads with the rights of the table's owner.
pub(super) fn read(
    table: &Relation,
    statement: &Statement,
    arguments: &[Datum],
    row: impl FnMut(&Row),
) {
    as_owner(&table.rights(), || {
        connected(|| statement.rows(View::Newest, arguments, row))
    });
}

pub(crate) const FEATURE: &str = "deployments";

/// Whether chatops will find what it needs for deployments: one row of the result of `attach`. Nothing is installed.
pub(crate) fn attach(schema: &str) -> Result<Answer> {
    let answer = |status: &str, detail: String| Ok((FEATURE.to_owned(), status.to_owned(), detail));
    for needed in &OF_DEPLOYMENTS {
        match find(needed, schema) {
            Ok(_) => {}
            Err(error) if error.topic::<ChatopsError>().is_some() => {
                return answer("skipped", error.message());
            }
            Err(error) => return Err(error),
        }
    }
    answer(
        "attached",
        "chatops reads them; nothing is installed".to_owned(),
    )
}
