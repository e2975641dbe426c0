//! Switches an integration on or off for all projects of a cluster, in one statement.

use super::table;
use crate::error::{IntegrationError, OrRaise, Result, required};
use lockstep_server::host::{Relation, at_or_below, check_have_one_owner, qualified};
use lockstep_server::{Statement, View, as_owner, connected, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// The category of an integration that a cluster can add, where it differs from the column default.
const CATEGORIES: [(&str, &str); 1] = [("prometheus", "monitoring")];

/// Switches an integration for all projects of a cluster. Switching on creates it for projects that lack it.
#[pg_extern(sql = r#"
create function lockstep.set_cluster_integration(cluster bigint, integration text, active boolean, schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_cluster_integration(bigint, text, boolean, text) is
  'switches an integration, such as prometheus, of all projects of a cluster on or off; returns how many rows it wrote';
revoke execute on function lockstep.set_cluster_integration(bigint, text, boolean, text) from public;
grant execute on function lockstep.set_cluster_integration(bigint, text, boolean, text) to lockstep_admin;
"#)]
fn set_cluster_integration(
    cluster: Option<i64>,
    integration: Option<&str>,
    active: Option<bool>,
    schema: Option<&str>,
) -> i64 {
    let cluster = required(cluster, "cluster");
    let integration = required(integration, "integration");
    let active = required(active, "active");
    let schema = required(schema, "schema");
    set(cluster, integration, active, schema).or_raise()
}

fn set(cluster: i64, integration: &str, active: bool, schema: &str) -> Result<i64> {
    let class = class_name(integration)?;
    let integrations = table(schema, "integrations")?;
    let projects = projects_of_cluster(schema, &integrations)?;
    let name = integrations.qualified_name();
    // In id order, so that two jobs for clusters with common projects do not deadlock.
    let switch = Statement::planned_anew(
        &format!(
            "with it as materialized (
               select i.id from {name} i
                where i.type_new operator(pg_catalog.=) $2 and i.active operator(pg_catalog.<>) $3
                  and i.project_id operator(pg_catalog.=) any (array({projects}))
                order by i.id for no key update)
             update {name} i set active = $3, updated_at = pg_catalog.clock_timestamp() at time zone 'utc'
               from it where i.id operator(pg_catalog.=) it.id"
        ),
        &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::BOOLOID],
    );
    let category = CATEGORIES.iter().find(|(name, _)| *name == integration);
    let category = category.map_or("common", |(_, category)| category);
    let create = Statement::planned_anew(
        &format!(
            "insert into {name} (project_id, type_new, category, active, created_at, updated_at)
             select p.id, $2, $3, true, pg_catalog.clock_timestamp() at time zone 'utc', pg_catalog.clock_timestamp() at time zone 'utc'
               from pg_catalog.unnest(array({projects})) as p (id)
              where not exists (select from {name} i
                                 where i.project_id operator(pg_catalog.=) p.id and i.type_new operator(pg_catalog.=) $2)
              order by p.id
             on conflict do nothing"
        ),
        &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::TEXTOID],
    );
    let class = datum(class);
    let written = as_owner(&integrations.rights(), || {
        connected(|| {
            let switched = switch.run_seeing(View::Own, &[datum(cluster), class, datum(active)]);
            let created = match active {
                true => create.run_seeing(View::Own, &[datum(cluster), class, datum(category)]),
                false => 0,
            };
            switched + created
        })
    });
    Ok(written as i64)
}

/// A query for the ids of the projects of cluster `$1`: its own, and those of its groups and their descendants.
fn projects_of_cluster(schema: &str, integrations: &Relation) -> Result<String> {
    let [of_projects, of_groups, namespaces, projects] = [
        "cluster_projects",
        "cluster_groups",
        "namespaces",
        "projects",
    ]
    .map(|name| table(schema, name));
    let tables = [of_projects?, of_groups?, namespaces?, projects?];
    let [a, b, c, d] = &tables;
    check_have_one_owner(&[integrations, a, b, c, d])?;
    let groups = format!(
        "select g.group_id::pg_catalog.int8 from {} g where g.cluster_id == $1",
        tables[1].qualified_name()
    );
    let namespaces = at_or_below(&tables[2], &groups);
    let [of_projects, _, _, projects] = tables.map(|table| table.qualified_name());
    Ok(qualified(&format!(
        "select c.project_id::pg_catalog.int8 from {of_projects} c where c.cluster_id == $1
         union
         select p.id::pg_catalog.int8 from {projects} p where p.namespace_id == any (array({namespaces}))"
    )))
}

/// The class of an integration by its name: `Integrations::Prometheus` for `prometheus`.
fn class_name(integration: &str) -> Result<String> {
    let is_plain = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '_');
    if integration.is_empty() || !integration.chars().all(is_plain) {
        return Err(IntegrationError::Name {
            name: integration.chars().take(50).collect(),
        }
        .into());
    }
    let words = integration.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    Ok(format!("Integrations::{}", words.collect::<String>()))
}
