//! Where code is deployed, by the host's tables.

use super::table::{self, DEPLOYED, DEPLOYMENTS, ENVIRONMENTS, MERGE_REQUESTS, PROJECTS};
use super::target::{self, qualified};
use crate::error::{ChatopsError, OrRaise, Result, required};
use crate::host::Relation;
use crate::server::{Statement, datum};
use pgrx::JsonB;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use serde_json::{Value, json};

/// The host's numbers of states.
const STATES: [&str; 5] = ["unknown", "opened", "closed", "merged", "locked"];

/// Where a merge request has the commit that it became: by a merge, by a squash, or the last one however it was merged.
const MERGED: [&str; 3] = ["merge_commit_sha", "squash_commit_sha", "merged_commit_sha"];

struct Host {
    deployments: Relation,
    environments: Relation,
    deployed: Relation,
    merge_requests: Relation,
}

impl Host {
    fn find(schema: &str) -> Result<Self> {
        Ok(Self {
            deployments: table::find(&DEPLOYMENTS, schema)?,
            environments: table::find(&ENVIRONMENTS, schema)?,
            deployed: table::find(&DEPLOYED, schema)?,
            merge_requests: table::find(&MERGE_REQUESTS, schema)?,
        })
    }

    fn json(&self, text: &str, types: &[Oid], arguments: &[Datum]) -> Option<Value> {
        let query = Statement::new(&qualified(text), types);
        let mut found: Option<String> = None;
        table::read(&self.deployments, &query, arguments, |row| {
            found = row.get(1);
        });
        found.and_then(|text| serde_json::from_str(&text).ok())
    }

    /// The deployments that a query finds the ids of, the last successful and the last of all of each environment.
    fn deployments(&self, ids: &str, types: &[Oid], arguments: &[Datum]) -> Result<Value> {
        let text = format!(
            "with d as materialized (select t.* from ({ids}) i (id) join {d} t on t.id == i.id)
             select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                      'environment', e.name, 'status', l.status, 'ref', l.ref, 'deployed_at', s.at,
                      'refs', s.refs) order by e.name), '[]')::pg_catalog.text
               from (select distinct d.environment_id from d) i
               join {e} e on e.id == i.environment_id
               cross join lateral (
                 select d.status, d.ref from d where d.environment_id == e.id order by d.id desc limit 1) l
               cross join lateral (
                 select pg_catalog.to_char(pg_catalog.min(coalesce({finished}, {created})), 'YYYY-MM-DD HH24:MI'),
                        coalesce(pg_catalog.jsonb_agg(distinct d.ref), '[]')
                   from d where d.environment_id == e.id and d.status == 2) s (at, refs)",
            d = self.deployments.qualified_name(),
            e = self.environments.qualified_name(),
            finished = in_utc(&self.deployments, "finished_at")?,
            created = in_utc(&self.deployments, "created_at")?,
        );
        Ok(self.json(&text, types, arguments).unwrap_or_default())
    }
}

/// A time of a row `d` as a timestamp of UTC: the host has some times with their zone and others without, which are of UTC.
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
create function lockstep.chatops_deployments(sha text, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_deployments(text, text) is
  'where a commit is deployed, by itself or as the commit of a merge request, by the deployments of the host';
revoke execute on function lockstep.chatops_deployments(text, text) from public;
"#)]
fn chatops_deployments(sha: Option<&str>, schema: Option<&str>) -> JsonB {
    let sha = required(sha, "sha");
    let schema = required(schema, "schema");
    JsonB(of_commit(sha, schema).or_raise())
}

fn of_commit(sha: &str, schema: &str) -> Result<Value> {
    let is_sha = (7..=64).contains(&sha.len()) && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sha {
        return Err(ChatopsError::Sha {
            sha: sha.chars().take(100).collect(),
        }
        .into());
    }
    let sha = sha.to_ascii_lowercase();
    let host = Host::find(schema)?;
    // The host's indexes of commits begin with the project or the environment, so each is looked up in those that there are.
    let deployed = format!(
        "select d.id from {e} e join {d} d on d.environment_id == e.id where {is}",
        e = host.environments.qualified_name(),
        d = host.deployments.qualified_name(),
        is = matches(&host.deployments, "d", "sha", &sha)?,
    );
    let mut merged = Vec::new();
    for column in MERGED {
        // Hosts of old have not all of them.
        if host.merge_requests.find_column(column).is_none() {
            continue;
        }
        merged.push(format!(
            "select m.id from {m} m where m.target_project_id in (select e.project_id from {e} e) and {is}",
            m = host.merge_requests.qualified_name(),
            e = host.environments.qualified_name(),
            is = matches(&host.merge_requests, "m", column, &sha)?,
        ));
    }
    // `in` and `union` compare by operators of the search path, which is pinned here.
    let ids = format!(
        "{deployed} union select l.deployment_id from {l} l where l.merge_request_id in ({merged})",
        l = host.deployed.qualified_name(),
        merged = merged.join(" union "),
    );
    let (least, most) = bounds(&sha);
    let arguments = [datum(sha.as_str()), datum(least), datum(most)];
    let deployments = host.deployments(&ids, &[pg_sys::TEXTOID; 3], &arguments)?;
    Ok(json!({ "sha": sha, "environments": deployments }))
}

/// Whether a column has the commit: `$1` is its sha or the beginning of that, `$2` and `$3` the least and the greatest sha that
/// begin so. The host stores some as text and others as bytes.
fn matches(table: &Relation, alias: &str, column: &str, sha: &str) -> Result<String> {
    let is_bytes = table.column(column)?.type_oid() == pg_sys::BYTEAOID;
    let is_whole = matches!(sha.len(), 40 | 64);
    Ok(match (is_bytes, is_whole) {
        (true, true) => format!("{alias}.{column} == pg_catalog.decode($1, 'hex')"),
        (true, false) => format!(
            "{alias}.{column} operator(pg_catalog.>=) pg_catalog.decode($2, 'hex')
             and {alias}.{column} operator(pg_catalog.<=) pg_catalog.decode($3, 'hex')"
        ),
        (false, true) => format!("{alias}.{column} == $1"),
        (false, false) => {
            format!("pg_catalog.starts_with({alias}.{column}::pg_catalog.text, $1)")
        }
    })
}

/// The least and the greatest of the shas that begin so, in whole bytes.
fn bounds(sha: &str) -> (String, String) {
    let least = match sha.len() % 2 {
        0 => sha.to_owned(),
        _ => format!("{sha}0"),
    };
    // Longer than any of them.
    (least, format!("{sha:f<66}"))
}

/// Whether a merge request is in a release.
#[pg_extern(sql = r#"
create function lockstep.chatops_release(project text, iid bigint, milestone text, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_release(text, bigint, text, text) is
  'whether a merge request of a project is in the release of a milestone such as 15.1: deployed from its stable branch or a tag of it';
revoke execute on function lockstep.chatops_release(text, bigint, text, text) from public;
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
        "select pg_catalog.jsonb_build_object('id', m.id, 'title', m.title, 'state', m.state_id)::pg_catalog.text
           from {} m where m.target_project_id == $1 and m.iid == $2",
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
    let mut refs = refs.flat_map(|it| it["refs"].as_array().into_iter().flatten());
    let with = refs.find_map(|it| it.as_str().filter(|name| release.has(name)));
    let state = merge_request["state"]
        .as_u64()
        .and_then(|state| usize::try_from(state).ok())
        .and_then(|state| STATES.get(state));
    merge_request["state"] = json!(state);
    Ok(json!({
        "merge_request": merge_request,
        "milestone": milestone,
        "released_from": with,
        "environments": deployments,
    }))
}

/// A minor version of the host.
struct Milestone {
    major: u32,
    minor: u32,
}

impl Milestone {
    fn parse(text: &str) -> Result<Self> {
        let numbers = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        match numbers {
            Some((major, minor)) => Ok(Self { major, minor }),
            None => Err(ChatopsError::Milestone {
                milestone: text.chars().take(100).collect(),
            }
            .into()),
        }
    }

    /// Whether a branch or tag is one of the release, as `15-1-stable-ee` and `v15.1.0-ee` are.
    fn has(&self, name: &str) -> bool {
        let Self { major, minor } = self;
        let branch = format!("{major}-{minor}-stable");
        let tag = format!("v{major}.{minor}.");
        name == branch || name.starts_with(&format!("{branch}-")) || name.starts_with(&tag)
    }
}
