//! How the newest pipeline of a branch or tag ended, to tell of the next one whether it ended otherwise.

use super::occurrence::Pipeline;
use crate::error::Result;
use crate::own_statement::OwnStatement;
use crate::statement::{datum, keys_argument};
use pgrx::pg_sys::{self, Datum};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;

struct Own {
    insert: OwnStatement,
    lock: OwnStatement,
    update: OwnStatement,
}

const PARAMETERS: [pg_sys::Oid; 5] = [
    pg_sys::TEXTOID,
    pg_sys::INT8ARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::INT8ARRAYOID,
    pg_sys::TEXTARRAYOID,
];

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static STATEMENTS: ManuallyDrop<Own> = ManuallyDrop::new(Own {
        insert: OwnStatement::new(
            "insert into lockstep.pipeline_status (schema, project_id, ref, pipeline_id, status)
             select $1, t.* from unnest($2, $3, $4, $5) t on conflict (schema, project_id, ref) do nothing returning project_id, ref",
            &PARAMETERS,
        ),
        // The rows of arrays come, and are locked, in their order.
        lock: OwnStatement::by_index(
            "select p.project_id, p.ref, p.pipeline_id, p.status from unnest($2, $3) t (project_id, ref)
               join lockstep.pipeline_status p on p.schema = $1 and p.project_id = t.project_id and p.ref = t.ref for update of p",
            &PARAMETERS[..3],
            &["schema"],
        ),
        update: OwnStatement::by_index(
            "update lockstep.pipeline_status p set pipeline_id = t.pipeline_id, status = t.status
               from unnest($2, $3, $4, $5) t (project_id, ref, pipeline_id, status)
              where p.schema = $1 and p.project_id = t.project_id and p.ref = t.ref",
            &PARAMETERS,
            &["schema"],
        ),
    });
}

/// A pipeline of a project.
pub(super) type Finished<'a> = (i64, &'a Pipeline<'a>);

/// Project and whole name of the branch or tag.
type Name = (i64, String);
type States = BTreeMap<Name, (i64, String)>;

pub(super) fn is_finished(pipeline: &Pipeline) -> bool {
    matches!(&*pipeline.status, "success" | "failed")
}

/// Takes down how finished pipelines ended, in their order; says of each whether it changed how its branch stands: the first that
/// fails, and the first that succeeds after one that failed.
pub(super) fn take_down(pipelines: &[Finished], schema: &str) -> Result<Vec<bool>> {
    if pipelines.is_empty() {
        return Ok(Vec::new());
    }
    let names: BTreeSet<Name> = pipelines
        .iter()
        .map(|(project, pipeline)| (*project, pipeline.reference.clone()))
        .collect();
    let before = lock(pipelines, names, schema)?;
    let mut states = before.clone();
    let mut changed = Vec::with_capacity(pipelines.len());
    for (project, pipeline) in pipelines {
        let name = (*project, pipeline.reference.clone());
        let last = states.get(&name);
        // One that is retried ends again; an older one says nothing of how the branch stands.
        let is_newest = last.is_none_or(|(id, _)| *id <= pipeline.id);
        let had_failed = last.is_some_and(|(_, status)| status == "failed");
        changed.push(is_newest && (pipeline.status == "failed") != had_failed);
        if is_newest {
            states.insert(name, (pipeline.id, pipeline.status.clone().into_owned()));
        }
    }
    states.retain(|name, state| before.get(name) != Some(state));
    if !states.is_empty() {
        let arguments = arguments(&states, schema);
        STATEMENTS.with(|own| own.update.run(&arguments))?;
    }
    Ok(changed)
}

/// Makes the rows that there are not, and locks the others, so that nobody else changes them before the transaction ends; what they
/// said before.
fn lock(pipelines: &[Finished], names: BTreeSet<Name>, schema: &str) -> Result<States> {
    let mut before = States::new();
    let mut missing = names;
    loop {
        let (projects, references): (Vec<i64>, Vec<&str>) = missing
            .iter()
            .map(|(project, reference)| (*project, reference.as_str()))
            .unzip();
        let keys = [datum(schema), keys_argument(&projects), datum(references)];
        STATEMENTS.with(|own| {
            own.lock.rows(&keys, |row| {
                let name = row.get(1).zip(row.get(2));
                before.extend(name.zip(row.get(3).zip(row.get(4))));
            })
        })?;
        missing.retain(|name| !before.contains_key(name));
        if missing.is_empty() {
            return Ok(before);
        }
        let mut first = States::new();
        for (project, pipeline) in pipelines {
            let name = (*project, pipeline.reference.clone());
            if missing.contains(&name) {
                first
                    .entry(name)
                    .or_insert_with(|| (pipeline.id, pipeline.status.clone().into_owned()));
            }
        }
        let arguments = arguments(&first, schema);
        STATEMENTS.with(|own| {
            own.insert.rows(&arguments, |row| {
                if let Some(name) = row.get(1).zip(row.get(2)) {
                    missing.remove(&name);
                }
            })
        })?;
        if missing.is_empty() {
            return Ok(before);
        }
        // Others have made them just now.
        pgrx::check_for_interrupts!();
    }
}

fn arguments(states: &States, schema: &str) -> [Datum; 5] {
    let projects: Vec<i64> = states.keys().map(|(project, _)| *project).collect();
    let references: Vec<&str> = states.keys().map(|(_, name)| name.as_str()).collect();
    let pipelines: Vec<i64> = states.values().map(|(id, _)| *id).collect();
    let statuses: Vec<&str> = states.values().map(|(_, status)| status.as_str()).collect();
    [
        datum(schema),
        keys_argument(&projects),
        datum(references),
        keys_argument(&pipelines),
        datum(statuses),
    ]
}
