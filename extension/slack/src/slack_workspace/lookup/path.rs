//! Whether a project is within a path, for callers that may only speak for a part of the instance.

use super::by_path::LOWER;
use crate::error::{OrRaise, Result, required};
use crate::slack_workspace::host::{Host, Kind, Owner, Tables};
use lockstep_server::host::{Relation, qualified};
use lockstep_server::{Statement, View, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Whether a project is within one of some paths.
#[pg_extern(sql = r#"
create function lockstep_api.is_project_within(project_id bigint, paths text[], schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.is_project_within(bigint, text[], text) is
  'whether a project, or one of its groups, has one of these paths, or had it before it was renamed; false if there is no such project. Like in GitLab, case does not matter';
revoke execute on function lockstep_api.is_project_within(bigint, text[], text) from public;
"#)]
fn is_project_within(
    project_id: Option<i64>,
    paths: Option<Vec<Option<String>>>,
    schema: Option<&str>,
) -> bool {
    let project = required(project_id, "project_id");
    let paths: Vec<String> = required(paths, "paths").into_iter().flatten().collect();
    let schema = required(schema, "schema");
    is_within_any(project, &paths, schema).or_raise()
}

fn is_within_any(project: i64, paths: &[String], schema: &str) -> Result<bool> {
    let tables = Tables::attached(schema)?;
    let owner = Owner {
        kind: Kind::Project,
        id: project,
    };
    let Some(path) = owner.find_path(&tables)? else {
        return Ok(false);
    };
    if paths.iter().any(|it| is_within(it, &path)) {
        return Ok(true);
    }
    for former in paths {
        if let Some(now) = renamed(&tables, former)?
            && is_within(&now, &path)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Like GitLab, ignores case.
fn is_within(path: &str, project: &str) -> bool {
    let (path, project) = (path.to_lowercase(), project.to_lowercase());
    let rest = project.strip_prefix(&path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `$1` a path: the project or group that had it.
struct Redirect(Option<Statement>);

impl Redirect {
    /// A path that somebody else has by now leads nowhere. If a table is missing or has another owner, nothing is known.
    fn new(tables: &Host) -> Self {
        let find = |name| {
            let table = Relation::find_table(&tables.schema, name).ok().flatten()?;
            (table.owner == tables.slack.owner).then_some(table)
        };
        let has = |table: &Relation, columns: &[&str]| {
            columns.iter().all(|it| table.find_column(it).is_some())
        };
        let both = find("redirect_routes").zip(find("routes"));
        let both = both.filter(|(former, current)| {
            has(former, &["source_id", "source_type", "path"]) && has(current, &["path"])
        });
        Self(both.map(|(former, current)| {
            let text = format!(
                "select r.source_type::pg_catalog.text, r.source_id::pg_catalog.int8 from {former} r
                  where {lower} and not exists (select from {current} r where {lower}) limit 1",
                former = former.qualified_name(),
                current = current.qualified_name(),
                lower = LOWER,
            );
            Statement::new(&qualified(&text), &[pg_sys::TEXTOID])
        }))
    }
}

/// The current path of the project or group that had a path before.
fn renamed(tables: &Tables, former: &str) -> Result<Option<String>> {
    let redirect = tables.prepared(Redirect::new);
    let Some(query) = &redirect.0 else {
        return Ok(None);
    };
    let mut found = None;
    tables.as_owner(|| {
        query.rows(View::Newest, &[datum(former)], |row| {
            found = row.get::<String>(1).zip(row.get::<i64>(2));
        });
    });
    let Some((kind, id)) = found else {
        return Ok(None);
    };
    let kind = match &*kind {
        "Project" => Kind::Project,
        "Namespace" => Kind::Group,
        _ => return Ok(None),
    };
    Owner { kind, id }.find_path(tables)
}
