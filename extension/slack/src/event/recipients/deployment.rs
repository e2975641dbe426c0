//! What the application knows of a deployment: whether a tag was deployed, and what was before, as the message links to what has changed since.

use super::scope::Scope;
use crate::error::Result;
use crate::event::tables::Tables;
use lockstep_server::host::{Relation, check_have_one_owner, qualified};
use lockstep_server::{Statement, View, datum};
use lockstep_webhook::Event;
use pgrx::pg_sys;

/// The commit of the last deployment before this one that succeeded in the same environment. None if the application's tables do
/// not tell.
pub(crate) fn previous_sha(tables: &Tables, scope: &Scope, text: &str) -> Result<Option<String>> {
    let Ok(event) = Event::read(text) else {
        return Ok(None);
    };
    let (Some(project), Some(environment), Some(id)) = (
        scope.project,
        event.environment.get(),
        event.deployment_id.get(),
    ) else {
        return Ok(None);
    };
    let [Some(environments), Some(deployments)] = [
        with_columns(tables, "environments", &["id", "project_id", "name"])?,
        with_columns(
            tables,
            "deployments",
            &["id", "environment_id", "status", "sha"],
        )?,
    ] else {
        return Ok(None);
    };
    if check_have_one_owner(&[&tables.slack, &environments, &deployments]).is_err() {
        return Ok(None);
    }
    let text = format!(
        // One environment, so that the planner may follow an index in the order of the ids.
        "select d.sha::pg_catalog.text from {d} d
          where d.environment_id == (select e.id from {e} e where e.project_id == $1 and e.name == $2 limit 1)
            and d.status == 2 and d.id operator(pg_catalog.<) $3
          order by d.id desc limit 1",
        e = environments.qualified_name(),
        d = deployments.qualified_name(),
    );
    let parameters = &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::INT8OID];
    let query = Statement::new(&qualified(&text), parameters);
    let arguments = [datum(project), datum(environment.to_string()), datum(*id)];
    let mut sha = None;
    tables.as_owner(|| query.rows(View::Own, &arguments, |row| sha = row.get(1)));
    Ok(sha)
}

/// Whether a tag was deployed: GitLab's event has its name alone. False if the application's tables do not tell.
pub(crate) fn is_of_tag(tables: &Tables, scope: &Scope, text: &str) -> Result<bool> {
    let Ok(event) = Event::read(text) else {
        return Ok(false);
    };
    let (Some(project), Some(id)) = (scope.project, event.deployment_id.get()) else {
        return Ok(false);
    };
    let Some(deployments) = with_columns(tables, "deployments", &["id", "project_id", "tag"])?
    else {
        return Ok(false);
    };
    if check_have_one_owner(&[&tables.slack, &deployments]).is_err() {
        return Ok(false);
    }
    let text = format!(
        "select d.tag::pg_catalog.bool from {} d where d.id == $1 and d.project_id == $2",
        deployments.qualified_name()
    );
    let query = Statement::new(&qualified(&text), &[pg_sys::INT8OID; 2]);
    let arguments = [datum(*id), datum(project)];
    let mut is_tag = None;
    tables.as_owner(|| query.rows(View::Own, &arguments, |row| is_tag = row.get(1)));
    Ok(is_tag.unwrap_or(false))
}

fn with_columns(tables: &Tables, name: &str, columns: &[&str]) -> Result<Option<Relation>> {
    let table = Relation::find_table(&tables.schema, name)?;
    let has_all = |table: &Relation| columns.iter().all(|it| table.find_column(it).is_some());
    Ok(table.filter(has_all))
}
