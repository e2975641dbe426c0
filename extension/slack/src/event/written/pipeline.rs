//! The result of the newest pipeline of a branch, tag or merge request, to tell whether the next one changes it.

use crate::error::Result;
use crate::event::read::Pipeline;
use jiff::Timestamp;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::pg_sys::{self, Datum};
use std::collections::{BTreeMap, BTreeSet};

struct Own {
    insert: OwnStatement,
    lock: OwnStatement,
    look: OwnStatement,
    update: OwnStatement,
}

const PARAMETERS: [pg_sys::Oid; 6] = [
    pg_sys::TEXTOID,
    pg_sys::INT8ARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::INT8ARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
];

kept! {
    static STATEMENTS: Own = Own {
        // Arrays are read, inserted and locked in their order.
        insert: OwnStatement::new(
            "insert into lockstep_internal.pipeline_status (schema, project_id, ref, pipeline_id, status, finished_at)
             select $1, t.* from unnest($2, $3, $4, $5, $6) t on conflict (schema, project_id, ref) do nothing returning project_id, ref",
            &PARAMETERS,
        ),
        lock: OwnStatement::by_index(
            "select p.project_id, p.ref, p.pipeline_id, p.status, p.finished_at from unnest($2, $3) t (project_id, ref)
               join lockstep_internal.pipeline_status p on p.schema = $1 and p.project_id = t.project_id and p.ref = t.ref for update of p",
            &PARAMETERS[..3],
            &["schema"],
        ),
        look: OwnStatement::by_index(
            "select p.project_id, p.ref, p.pipeline_id, p.status, p.finished_at from unnest($2, $3) t (project_id, ref)
               join lockstep_internal.pipeline_status p on p.schema = $1 and p.project_id = t.project_id and p.ref = t.ref",
            &PARAMETERS[..3],
            &["schema"],
        ),
        update: OwnStatement::by_index(
            "update lockstep_internal.pipeline_status p set pipeline_id = t.pipeline_id, status = t.status, finished_at = t.finished_at, seen_on = current_date
               from unnest($2, $3, $4, $5, $6) t (project_id, ref, pipeline_id, status, finished_at)
              where p.schema = $1 and p.project_id = t.project_id and p.ref = t.ref",
            &PARAMETERS,
            &["schema"],
        ),
    };
}

/// A pipeline of a project, and the full name of what its result is the state of.
pub(crate) struct Finished<'a> {
    pub(crate) project: i64,
    pub(crate) state_of: &'a str,
    pub(crate) pipeline: &'a Pipeline<'a>,
}

impl Finished<'_> {
    fn name(&self) -> Name {
        (self.project, self.state_of.to_owned())
    }
}

/// What the end of a pipeline means for that state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The newest pipeline has ended that way before.
    Repeated,
    /// It stays, or the pipeline is not the newest one.
    None,
    /// The first failure, or the first success after a failure.
    Changed,
}

/// Project and full name of the branch, tag or merge request.
type Name = (i64, String);
type States = BTreeMap<Name, State>;

/// How a pipeline ended.
#[derive(Clone, Debug, PartialEq)]
struct State {
    id: i64,
    status: String,
    finished_at: Option<String>,
}

impl State {
    fn of(pipeline: &Pipeline) -> Self {
        Self {
            id: pipeline.id,
            status: pipeline.status.clone().into_owned(),
            finished_at: pipeline.finished_at.clone(),
        }
    }

    /// Whether the other state is older: an earlier pipeline, or the same one before a retry.
    fn is_after(&self, other: &Self) -> bool {
        let ended = |state: &Self| moment(state.finished_at.as_deref()?);
        let is_later = || {
            ended(self)
                .zip(ended(other))
                .is_some_and(|(this, other)| this > other)
        };
        self.id > other.id || (self.id == other.id && is_later())
    }
}

/// A time as payloads write it: `2026-01-01 10:00:05 UTC`, `2026-01-01 10:00:05 +0200`, `2026-01-01T10:00:05.123Z`. Without a zone it
/// is UTC.
fn moment(written: &str) -> Option<Timestamp> {
    const TO_THE_SECOND: usize = 19;
    let (second, rest) = written.split_at_checked(TO_THE_SECOND)?;
    let rest = rest.replace("UTC", "Z").replace(' ', "");
    let zone = if rest.contains(['Z', '+', '-']) {
        ""
    } else {
        "Z"
    };
    format!("{second}{rest}{zone}").parse().ok()
}

pub(crate) fn is_finished(pipeline: &Pipeline) -> bool {
    matches!(&*pipeline.status, "success" | "failed")
}

/// Stores the results of finished pipelines, in order; returns what each means.
pub(crate) fn take_down(pipelines: &[Finished], schema: &str) -> Result<Vec<Change>> {
    if pipelines.is_empty() {
        return Ok(Vec::new());
    }
    let names: BTreeSet<Name> = pipelines.iter().map(Finished::name).collect();
    let before = lock(pipelines, names, schema)?;
    let (changes, mut states) = judge(pipelines, before.clone());
    states.retain(|name, state| before.get(name) != Some(state));
    if !states.is_empty() {
        let arguments = arguments(&states, schema);
        STATEMENTS.with(|own| own.update.run(&arguments))?;
    }
    Ok(changes)
}

/// What each would mean, without storing it.
pub(crate) fn look(pipelines: &[Finished], schema: &str) -> Result<Vec<Change>> {
    let names: BTreeSet<Name> = pipelines.iter().map(Finished::name).collect();
    let mut before = States::new();
    STATEMENTS.with(|own| read(&own.look, &names, schema, &mut before))?;
    Ok(judge(pipelines, before).0)
}

/// What each means, and the states afterwards.
fn judge(pipelines: &[Finished], mut states: States) -> (Vec<Change>, States) {
    let mut changes = Vec::with_capacity(pipelines.len());
    for finished in pipelines {
        let name = finished.name();
        let (state, last) = (State::of(finished.pipeline), states.get(&name));
        // A retried pipeline ends again; a pipeline that is older than the stored one does not change the branch's state.
        let is_newest = !last.is_some_and(|last| last.is_after(&state));
        let had_failed = last.is_some_and(|last| last.status == "failed");
        let is_change = (state.status == "failed") != had_failed;
        changes.push(match last {
            Some(last) if (last.id, &last.status) == (state.id, &state.status) => Change::Repeated,
            _ if is_newest && finished.pipeline.is_change.unwrap_or(is_change) => Change::Changed,
            _ => Change::None,
        });
        if is_newest {
            states.insert(name, state);
        }
    }
    (changes, states)
}

/// Creates missing rows and locks the others until the transaction ends; returns their previous states. Everyone does the two
/// steps in this order, each in key order, otherwise two sessions could deadlock.
fn lock(pipelines: &[Finished], names: BTreeSet<Name>, schema: &str) -> Result<States> {
    let mut before = States::new();
    let mut missing = names;
    while !missing.is_empty() {
        let mut first = States::new();
        for finished in pipelines {
            let name = finished.name();
            if missing.contains(&name) {
                let state = || State::of(finished.pipeline);
                first.entry(name).or_insert_with(state);
            }
        }
        STATEMENTS.with(|own| {
            own.insert.rows(&arguments(&first, schema), |row| {
                if let Some(name) = row.get(1).zip(row.get(2)) {
                    missing.remove(&name);
                }
            })
        })?;
        STATEMENTS.with(|own| read(&own.lock, &missing, schema, &mut before))?;
        // A row that another session removed in between is created in the next round.
        missing.retain(|name| !before.contains_key(name));
        pgrx::check_for_interrupts!();
    }
    Ok(before)
}

fn read(
    statement: &OwnStatement,
    names: &BTreeSet<Name>,
    schema: &str,
    states: &mut States,
) -> Result<()> {
    let (projects, references): (Vec<i64>, Vec<&str>) = names
        .iter()
        .map(|(project, reference)| (*project, reference.as_str()))
        .unzip();
    let keys = [datum(schema), keys_argument(&projects), datum(references)];
    statement.rows(&keys, |row| {
        let name = row.get(1).zip(row.get(2));
        let ended = row.get(3).zip(row.get(4));
        let state = ended.map(|(id, status)| State {
            id,
            status,
            finished_at: row.get(5),
        });
        states.extend(name.zip(state));
    })
}

fn arguments(states: &States, schema: &str) -> [Datum; 6] {
    let projects: Vec<i64> = states.keys().map(|(project, _)| *project).collect();
    let references: Vec<&str> = states.keys().map(|(_, name)| name.as_str()).collect();
    let pipelines: Vec<i64> = states.values().map(|state| state.id).collect();
    let statuses: Vec<&str> = states.values().map(|state| &*state.status).collect();
    let times: Vec<Option<&str>> = states
        .values()
        .map(|state| state.finished_at.as_deref())
        .collect();
    [
        datum(schema),
        keys_argument(&projects),
        datum(references),
        keys_argument(&pipelines),
        datum(statuses),
        datum(times),
    ]
}
