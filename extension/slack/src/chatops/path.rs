//! The full paths of projects and groups, by their ids.

use super::table::{self, NAMESPACES, Needed, PROJECTS, ROUTES};
use crate::error::Result;
use lockstep_server::host::{Relation, qualified};
use lockstep_server::{Statement, datum};
use pgrx::pg_sys::{self, Datum, Oid};

/// The application allows less nesting than this.
const DEEPEST: usize = 30;

/// The full path of a project.
pub(super) fn of_project(id: i64, schema: &str) -> Result<Option<String>> {
    of(&PROJECTS, "namespace_id", "Project", id, schema)
}

/// The full path of a group, or of the namespace of a user.
pub(super) fn of_namespace(id: i64, schema: &str) -> Result<Option<String>> {
    of(&NAMESPACES, "parent_id", "Namespace", id, schema)
}

/// From the application's table of paths, if it has one; otherwise part by part.
fn of(needed: &Needed, above: &str, class: &str, id: i64, schema: &str) -> Result<Option<String>> {
    if let Some(routes) = table::find_optional(&ROUTES, schema)? {
        let text = format!(
            "select t.path::pg_catalog.text, null::pg_catalog.int8 from {} t
              where t.source_id == $1 and t.source_type::pg_catalog.text == $2 limit 1",
            routes.qualified_name()
        );
        let types = [pg_sys::INT8OID, pg_sys::TEXTOID];
        let found = step(&routes, &text, &types, &[datum(id), datum(class)]);
        return Ok(found.map(|(path, _)| path));
    }
    let first = table::find(needed, schema)?;
    let Some((mut path, mut next)) = part(&first, above, id) else {
        return Ok(None);
    };
    let namespaces = table::find(&NAMESPACES, schema)?;
    for _ in 0..DEEPEST {
        let Some((name, above)) = next.and_then(|id| part(&namespaces, "parent_id", id)) else {
            break;
        };
        path = format!("{name}/{path}");
        next = above;
    }
    Ok(Some(path))
}

/// The last part of a path, and the namespace that contains it.
fn part(table: &Relation, above: &str, id: i64) -> Option<(String, Option<i64>)> {
    let text = format!(
        "select t.path::pg_catalog.text, t.{above}::pg_catalog.int8 from {} t where t.id == $1",
        table.qualified_name()
    );
    step(table, &text, &[pg_sys::INT8OID], &[datum(id)])
}

fn step(
    table: &Relation,
    text: &str,
    types: &[Oid],
    arguments: &[Datum],
) -> Option<(String, Option<i64>)> {
    let query = Statement::new(&qualified(text), types);
    let mut found = None;
    table::read(table, &query, arguments, |row| {
        found = row.get::<String>(1).map(|path| (path, row.get::<i64>(2)));
    });
    found
}
