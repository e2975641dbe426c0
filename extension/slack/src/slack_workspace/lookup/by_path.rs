//! A project, and its integration in a workspace, by the project's current or former path.

use crate::slack_workspace::host::{Host, Tables};
use lockstep_server::host::{Relation, qualified};
use lockstep_server::{Statement, View, datum};
use pgrx::pg_sys;

/// The application's tables of current and former paths.
const PATHS: [&str; 2] = ["routes", "redirect_routes"];
const COLUMNS: [&str; 3] = ["source_id", "source_type", "path"];

/// The path of `r` is `$1`: in lower case, like the application's indexes.
pub(super) const LOWER: &str = "pg_catalog.lower(r.path::pg_catalog.text) == pg_catalog.lower($1)";

/// `$1` path: the type and the id of what has it, in the table of current paths, and in that of former ones.
struct Owners(Vec<Statement>);

impl Owners {
    fn new(tables: &Host) -> Self {
        let owner = |paths: Relation| {
            let text = format!(
                "select r.source_type::pg_catalog.text, r.source_id::pg_catalog.int8 from {} r where {LOWER} limit 1",
                paths.qualified_name()
            );
            Statement::new(&qualified(&text), &[pg_sys::TEXTOID])
        };
        Self(tables_of_paths(tables).map(owner).collect())
    }
}

/// The project that has a path, or had it before it was renamed, unless somebody else has it by now.
pub(crate) fn project_of_path(tables: &Tables, path: &str) -> Option<i64> {
    let owners = tables.prepared(Owners::new);
    let mut found: Option<(String, i64)> = None;
    tables.as_owner(|| {
        for query in &owners.0 {
            query.rows(View::Newest, &[datum(path)], |row| {
                found = row.get::<String>(1).zip(row.get(2));
            });
            if found.is_some() {
                break;
            }
        }
    });
    found.and_then(|(kind, id)| (kind == "Project").then_some(id))
}

/// `$1` path, `$2` team: the id of the Slack integration.
struct ByPath(Vec<Statement>);

impl ByPath {
    fn new(tables: &Host) -> Self {
        let found = tables_of_paths(tables);
        Self(found.map(|paths| of_table(tables, &paths)).collect())
    }
}

/// If a table is missing or has another owner, it is skipped.
fn tables_of_paths(tables: &Host) -> impl Iterator<Item = Relation> {
    PATHS.into_iter().filter_map(|name| {
        let table = Relation::find_table(&tables.schema, name).ok().flatten()?;
        let has_all = COLUMNS.iter().all(|it| table.find_column(it).is_some());
        (has_all && table.owner == tables.slack.owner).then_some(table)
    })
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
