//! Where code is deployed, according to the application's tables.

use super::milestone::Milestone;
use super::sha::{self, Sha};
use super::table::{self, DEPLOYED, DEPLOYMENTS, ENVIRONMENTS, MERGE_REQUESTS, PROJECTS};
use super::{path, target};
use crate::error::{ChatopsError, OrRaise, Result, required};
use lockstep_server::host::{Relation, check_have_one_owner, qualified};
use lockstep_server::{Statement, datum};
use pgrx::JsonB;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The application's numbers for the states of a merge request.
const STATES: [&str; 5] = ["unknown", "opened", "closed", "merged", "locked"];

/// All of the application's deployment statuses: its index on commits has the status before the commit.
const STATUSES: &str = "array[0, 1, 2, 3, 4, 5, 6]::pg_catalog.int2[]";

/// The columns with the commit a merge request became: by merge, by squash, or the last one in any case.
const MERGED: [&str; 3] = ["merge_commit_sha", "squash_commit_sha", "merged_commit_sha"];

struct Host {
    deployments: Relation,
    environments: Relation,
    deployed: Relation,
    merge_requests: Relation,
}

impl Host {
    fn find(schema: &str) -> Result<Self> {
        let host = Self {
            deployments: table::find(&DEPLOYMENTS, schema)?,
            environments: table::find(&ENVIRONMENTS, schema)?,
            deployed: table::find(&DEPLOYED, schema)?,
            merge_requests: table::find(&MERGE_REQUESTS, schema)?,
        };
        check_have_one_owner(&[
            &host.deployments,
            &host.environments,
            &host.deployed,
            &host.merge_requests,
        ])?;
        Ok(host)
    }

    fn json(&self, text: &str, types: &[Oid], arguments: &[Datum]) -> Option<Value> {
        let query = Statement::new(&qualified(text), types);
        let mut found: Option<String> = None;
        table::read(&self.deployments, &query, arguments, |row| {
            found = row.get(1);
        });
        found.and_then(|text| serde_json::from_str(&text).ok())
    }

    /// Of the deployments whose ids a query finds: the first successful one and the latest one of each environment, and whether
    /// that environment is production, if the application says so.
    fn deployments(&self, ids: &str, types: &[Oid], arguments: &[Datum]) -> Result<Value> {
        let text = format!(
            "with d as materialized (select t.* from ({ids}) i (id) join {d} t on t.id == i.id)
             select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                      'project_id', e.project_id, 'environment', e.name, 'is_production', {is_production}, 'status', l.status,
                      'ref', l.ref, 'deployed_at', s.at, 'refs', s.refs) order by e.name, e.id), '[]')::pg_catalog.text
               from (select distinct d.environment_id from d) i
               join {e} e on e.id == i.environment_id
               cross join lateral (
                 select d.status, d.ref from d where d.environment_id == e.id order by d.id desc limit 1) l
               cross join lateral (
                 select pg_catalog.to_char(pg_catalog.min(coalesce({finished}, {created})), 'YYYY-MM-DD HH24:MI'),
                        coalesce(pg_catalog.jsonb_agg(distinct d.ref), '[]')
                   from d where d.environment_id == e.id and d.status == 2) s (at, refs)",
            d = self.deployments.qualified_name(),
            // Older GitLab has no tiers.
            is_production = match self.environments.find_column("tier") {
                Some(_) => "e.tier == 0",
                None => "null::pg_catalog.bool",
            },
            e = self.environments.qualified_name(),
            finished = in_utc(&self.deployments, "finished_at")?,
            created = in_utc(&self.deployments, "created_at")?,
        );
        Ok(self.json(&text, types, arguments).unwrap_or_default())
    }
}

/// A time of row `d` as a UTC timestamp: the application stores some times with time zone and others without, which are UTC.
fn in_utc(table: &Relation, column: &str) -> Result<String> {
    Ok(
        match table.column(column)?.type_oid() == pg_sys::TIMESTAMPTZOID {
            true => format!("pg_catalog.timezone('utc', d.{column})"),
            false => format!("d.{column}::pg_catalog.timestamp"),
        },
    )
}

/// Where a commit is deployed.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_deployments(sha text, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_deployments(text, text) is
  'where a commit is deployed, directly or through a merge request, according to the application''s deployments';
revoke execute on function lockstep_api.chatops_deployments(text, text) from public;
"#)]
fn chatops_deployments(sha: Option<&str>, schema: Option<&str>) -> JsonB {
    let sha = required(sha, "sha");
    let schema = required(schema, "schema");
    JsonB(of_commit(sha, schema).or_raise())
}

fn of_commit(sha: &str, schema: &str) -> Result<Value> {
    let sha = Sha::parse(sha)?;
    let host = Host::find(schema)?;
    // The application's indexes on commits start with the project, or with environment and status, so each commit is looked up
    // per existing value; `offset 0` keeps the planner from choosing a plan that is only cheaper on average.
    let deployed = format!(
        "select d.id from {e} e cross join pg_catalog.unnest({STATUSES}) s (status)
          cross join lateral (
            select d.id from {d} d where d.environment_id == e.id and d.status == s.status and {is} offset 0) d",
        e = host.environments.qualified_name(),
        d = host.deployments.qualified_name(),
        is = sha.condition(&host.deployments, "d", "sha")?,
    );
    let mut merged = Vec::new();
    for column in MERGED {
        // Older GitLab lacks some of them.
        if host.merge_requests.find_column(column).is_none() {
            continue;
        }
        merged.push(format!(
            "select m.id from (select distinct e.project_id from {e} e) p
              cross join lateral (select m.id from {m} m where m.target_project_id == p.project_id and {is} offset 0) m",
            m = host.merge_requests.qualified_name(),
            e = host.environments.qualified_name(),
            is = sha.condition(&host.merge_requests, "m", column)?,
        ));
    }
    // `in` and `union` compare with operators found by search path, which is pinned here.
    let ids = format!(
        "{deployed} union select l.deployment_id from {l} l where l.merge_request_id in ({merged})",
        l = host.deployed.qualified_name(),
        merged = merged.join(" union "),
    );
    let mut deployments = host.deployments(&ids, &sha::TYPES, &sha.arguments())?;
    name_projects(&mut deployments, schema)?;
    Ok(json!({ "sha": sha.text(), "environments": deployments }))
}

/// Forks have the same commits, so each environment is shown with its project, grouped by project.
fn name_projects(deployments: &mut Value, schema: &str) -> Result<()> {
    let Some(deployments) = deployments.as_array_mut() else {
        return Ok(());
    };
    let mut paths: BTreeMap<i64, Option<String>> = BTreeMap::new();
    for deployment in deployments.iter_mut() {
        let id = deployment["project_id"].as_i64().unwrap_or_default();
        let path = match paths.get(&id) {
            Some(path) => path.clone(),
            None => path::of_project(id, schema)?,
        };
        deployment["project"] = json!(path);
        paths.insert(id, path);
    }
    deployments.sort_by(|one, other| one["project"].as_str().cmp(&other["project"].as_str()));
    Ok(())
}

/// Whether a merge request is in a release.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_release(project text, iid bigint, milestone text, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_release(text, bigint, text, text) is
  'whether a merge request of a project is in the release of a milestone such as 15.1: deployed from the stable branch or a tag of that or of an earlier one';
revoke execute on function lockstep_api.chatops_release(text, bigint, text, text) from public;
"#)]
fn chatops_release(
    project: Option<&str>,
    iid: Option<i64>,
    milestone: Option<&str>,
    schema: Option<&str>,
) -> JsonB {
    let project = required(project, "project");
    let iid = required(iid, "iid");
    let milestone = required(milestone, "milestone");
    let schema = required(schema, "schema");
    JsonB(release(project, iid, milestone, schema).or_raise())
}

fn release(path: &str, iid: i64, milestone: &str, schema: &str) -> Result<Value> {
    let release = Milestone::parse(milestone)?;
    let host = Host::find(schema)?;
    table::find(&PROJECTS, schema)?;
    let project =
        target::project(path, schema)?.ok_or_else(|| ChatopsError::no_such("project", path))?;
    let text = format!(
        "select pg_catalog.jsonb_build_object('id', m.id, 'title', m.title, 'state', m.state_id, 'target', {})::pg_catalog.text
           from {} m where m.target_project_id == $1 and m.iid == $2",
        match host.merge_requests.find_column("target_branch") {
            Some(_) => "m.target_branch",
            None => "null",
        },
        host.merge_requests.qualified_name()
    );
    let arguments = [datum(project), datum(iid)];
    let found = host.json(&text, &[pg_sys::INT8OID, pg_sys::INT8OID], &arguments);
    let mut merge_request =
        found.ok_or_else(|| ChatopsError::no_such("merge request", format!("{path}!{iid}")))?;
    let id = merge_request["id"].as_i64().unwrap_or_default();
    let ids = format!(
        "select l.deployment_id from {} l where l.merge_request_id == $1",
        host.deployed.qualified_name()
    );
    let deployments = host.deployments(&ids, &[pg_sys::INT8OID], &[datum(id)])?;
    let refs = deployments.as_array().into_iter().flatten();
    let refs = refs.flat_map(|it| it["refs"].as_array().into_iter().flatten());
    let mut refs: Vec<(Milestone, &str)> = refs
        .filter_map(|it| it.as_str())
        .filter_map(|name| Some((Milestone::of_ref(name)?, name)))
        .collect();
    // What was merged to a release branch is not part of later releases.
    let own = merge_request["target"].as_str().and_then(Milestone::of_ref);
    refs.retain(|(of, _)| *of == release || (*of < release && own.is_none()));
    // The application links a merge request to the first deployment of each environment that contains it; later ones contain it
    // as well. For this release, more detail is returned.
    let with = match refs.iter().find(|(of, _)| *of == release) {
        Some(of_release) => Some(of_release),
        None => refs.iter().min(),
    };
    let with = with.map(|(of, name)| (of.to_string(), *name));
    let state = merge_request["state"]
        .as_u64()
        .and_then(|state| usize::try_from(state).ok())
        .and_then(|state| STATES.get(state));
    merge_request["state"] = json!(state);
    Ok(json!({
        "merge_request": merge_request,
        "milestone": milestone,
        "released_in": with.as_ref().map(|(of, _)| of),
        "released_from": with.as_ref().map(|(_, name)| name),
        "environments": deployments,
    }))
}
