//! A project's integration in a workspace, by the project's current or former path.

use crate::slack_workspace::host::{Host, Tables};
use lockstep_server::host::{Relation, qualified};
use lockstep_server::{Statement, View, datum};
use pgrx::pg_sys;

/// The application's tables of current and former paths.
const PATHS: [&str; 2] = ["routes", "redirect_routes"];
const COLUMNS: [&str; 3] = ["source_id", "source_type", "path"];

/// The path of `r` is `$1`: in lower case, like the application's indexes.
pub(super) const LOWER: &str = "pg_catalog.lower(r.path::pg_catalog.text) == pg_catalog.lower($1)";

/// `$1` path, `$2` team: the id of the Slack integration.
struct ByPath(Vec<Statement>);

impl ByPath {
    /// If a table is missing or has another owner, it is skipped.
    fn new(tables: &Host) -> Self {
        let found = PATHS.into_iter().filter_map(|name| {
            let table = Relation::find_table(&tables.schema, name).ok().flatten()?;
            let has_all = COLUMNS.iter().all(|it| table.find_column(it).is_some());
            (has_all && table.owner == tables.slack.owner).then_some(table)
        });
        Self(found.map(|paths| of_table(tables, &paths)).collect())
    }
}

fn of_table(tables: &Host, paths: &Relation) -> Statement {
    let text = format!(
        "select s.id::pg_catalog.int8 from {paths} r
           join {integrations} i on i.project_id == r.source_id
           join {slack} s on s.integration_id == i.id
          where {LOWER} and r.source_type::pg_catalog.text == 'Project' and s.team_id == $2
          order by s.id limit 1",
        paths = paths.qualified_name(),
        integrations = tables.integrations.qualified_name(),
        slack = tables.slack.qualified_name(),
    );
    Statement::new(&qualified(&text), &[pg_sys::TEXTOID, pg_sys::TEXTOID])
}

/// The caller has the rights of the tables' owner.
pub(super) fn find(tables: &Tables, team: &str, path: &str) -> Option<i64> {
    let by_path = tables.prepared(ByPath::new);
    by_path.0.iter().find_map(|query| {
        let mut found = None;
        query.rows(View::Newest, &[datum(path), datum(team)], |row| {
            found = row.get::<i64>(1);
        });
        found
    })
}
