//! Renaming workers while jobs flow. While the rename's feature flag is off, jobs are enqueued under the old name, which every
//! runner knows; once it is on, under the new one. Jobs keep the name they were enqueued under.

use super::check_worker;
use crate::error::{JobError, OrRaise, Result, required};
use crate::feature;
use lockstep_server::kept;
use lockstep_server::{Entry, OwnStatement, OwnTable, View, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

struct Statements {
    insert: OwnStatement,
    remove: OwnStatement,
    lock: OwnStatement,
    jobs: OwnStatement,
    retire: OwnStatement,
    reinstate: OwnStatement,
    move_keys: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        insert: OwnStatement::new(
            "insert into lockstep_internal.worker_rename (old_name, new_name, feature, feature_schema) values ($1, $2, $3, $4)",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        remove: OwnStatement::new(
            "delete from lockstep_internal.worker_rename where old_name = $1",
            &[pg_sys::TEXTOID],
        ),
        // Every transaction that enqueues reads the table, so it holds the lock that this one waits for.
        lock: OwnStatement::new("lock table lockstep_internal.worker_rename in access exclusive mode", &[]),
        jobs: OwnStatement::new(
            "select count(*) filter (where status in ('scheduled', 'waiting', 'blocked')), count(*) filter (where status = 'running'),
                    count(*) filter (where status = 'dead')
               from lockstep_internal.job where worker = $1",
            &[pg_sys::TEXTOID],
        ),
        retire: OwnStatement::new(
            "insert into lockstep_internal.retired_worker (name) values ($1) on conflict (name) do nothing",
            &[pg_sys::TEXTOID],
        ),
        reinstate: OwnStatement::new(
            "delete from lockstep_internal.retired_worker where name = $1",
            &[pg_sys::TEXTOID],
        ),
        // If both workers have a job with a key, the one that had the name before keeps it. Those that run or are dead may take theirs
        // again. Without a condition on the status: one that changes meanwhile is moved as well.
        move_keys: OwnStatement::new(
            "update lockstep_internal.job j
                set unique_worker = $2,
                    holds_key = j.holds_key and (j.status = 'dead'
                                or not exists (select from lockstep_internal.job o where o.unique_worker = $2 and o.unique_key = j.unique_key
                                                  and o.holds_key and o.status <> 'dead'))
              where j.unique_worker = $1 and j.worker = any ($3)",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTARRAYOID],
        ),
    };
}

const RENAMES: OwnTable = OwnTable::new(c"worker_rename", c"worker_rename_pkey");
const RETIRED: OwnTable = OwnTable::new(c"retired_worker", c"retired_worker_pkey");

struct Rename {
    old: String,
    new: String,
    feature: String,
    schema: String,
    is_retired: bool,
    is_built_in: bool,
}

impl Rename {
    fn is_on(&self) -> Result<bool> {
        Ok(self.is_retired || feature::is_enabled(&self.feature, &self.schema)?)
    }
}

/// The names of a worker.
pub(super) struct Names {
    /// Its name before any rename.
    pub(super) first: String,
    /// The name to enqueue under now.
    pub(super) current: String,
}

/// All renames: few, so they are read as a whole.
pub(super) struct Renames(Vec<Rename>);

impl Renames {
    pub(super) fn read() -> Self {
        // The current ones: those in an older snapshot may have been retired since. Who changes either table holds the lock of this one.
        let text = |row: &Entry, column| row.get::<String>(column).unwrap_or_default();
        let mut renames = RENAMES.rows(|row| {
            Some(Rename {
                old: text(row, c"old_name"),
                new: text(row, c"new_name"),
                feature: text(row, c"feature"),
                schema: text(row, c"feature_schema"),
                is_retired: false,
                is_built_in: row.is(c"is_built_in"),
            })
        });
        for old in RETIRED.rows(|row| row.get::<String>(c"name")) {
            if let Some(rename) = renames.iter_mut().find(|rename| rename.old == old) {
                rename.is_retired = true;
            }
        }
        Self(renames)
    }

    /// The names of the worker known under this name, old or new: callers written before and after the rename both get the name
    /// that is due.
    pub(super) fn names(&self, worker: &str) -> Result<Names> {
        let first = self.first_name(worker).to_owned();
        let mut current = &first;
        while let Some(rename) = self.from(current)
            && rename.is_on()?
        {
            current = &rename.new;
        }
        Ok(Names {
            current: current.clone(),
            first,
        })
    }

    // Neither direction has a cycle: a rename that would close one is refused.
    fn first_name<'a>(&'a self, worker: &'a str) -> &'a str {
        let mut first = worker;
        while let Some(rename) = self.to(first) {
            first = &rename.old;
        }
        first
    }

    /// This name and those it is renamed to, whether their flags are on or not.
    fn names_from(&self, name: &str) -> Vec<String> {
        let mut names = vec![name.to_owned()];
        while let Some(rename) = names.last().and_then(|last| self.from(last)) {
            names.push(rename.new.clone());
        }
        names
    }

    fn from(&self, old: &str) -> Option<&Rename> {
        self.0.iter().find(|rename| rename.old == old)
    }

    fn to(&self, new: &str) -> Option<&Rename> {
        self.0.iter().find(|rename| rename.new == new)
    }
}

/// Enqueues a worker's jobs under a new name once a feature flag is on.
#[pg_extern(sql = r#"
create function lockstep.rename_worker(old_name text, new_name text, feature text, schema text default 'public')
returns void language c set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.rename_worker(text, text, text, text) is
  'from now on jobs of the worker are enqueued under the new name while the feature is on, and under the old one while it is off';
revoke execute on function lockstep.rename_worker(text, text, text, text) from public;
grant execute on function lockstep.rename_worker(text, text, text, text) to lockstep_admin;
"#)]
fn rename_worker(
    old_name: Option<&str>,
    new_name: Option<&str>,
    feature: Option<&str>,
    schema: Option<&str>,
) {
    let old = required(old_name, "old_name");
    let new = required(new_name, "new_name");
    let feature = required(feature, "feature");
    let schema = required(schema, "schema");
    rename(old, new, feature, schema).or_raise();
}

fn rename(old: &str, new: &str, feature: &str, schema: &str) -> Result<()> {
    check_worker(old)?;
    check_worker(new)?;
    let refused = |reason: String| JobError::Rename {
        old: old.to_owned(),
        new: new.to_owned(),
        reason,
    };
    if feature.is_empty() {
        return Err(refused("the feature has no name".to_owned()).into());
    }
    lock_renames()?;
    let renames = Renames::read();
    if let Some(other) = renames.from(old) {
        return Err(refused(format!("\"{old}\" is renamed to \"{}\" already", other.new)).into());
    }
    if let Some(other) = renames.to(new) {
        return Err(refused(format!("\"{}\" is renamed to \"{new}\" already", other.old)).into());
    }
    if renames.first_name(old) == new || old == new {
        return Err(refused("the worker had that name before".to_owned()).into());
    }
    let arguments = [old, new, feature, schema].map(datum);
    STATEMENTS.with(|statements| statements.insert.run(&arguments))?;
    // A rename that was removed may have left it.
    STATEMENTS.with(|statements| statements.reinstate.run(&[datum(old)]))?;
    move_keys(new, renames.first_name(old), renames.names_from(new))
}

/// A key is unique across all names of a worker, whose first name has just changed.
fn move_keys(from: &str, to: &str, workers: Vec<String>) -> Result<()> {
    let arguments = [Some(datum(from)), Some(datum(to)), Some(datum(workers))];
    STATEMENTS.with(|statements| statements.move_keys.run_newest_with_nulls(&arguments))?;
    Ok(())
}

/// Ends a rename: the worker keeps its old name or, once that is retired, the new one.
#[pg_extern(sql = r#"
create function lockstep.remove_worker_rename(old_name text)
returns void language c set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.remove_worker_rename(text) is
  'forgets the rename of a worker: jobs are enqueued under the name that the caller gives';
revoke execute on function lockstep.remove_worker_rename(text) from public;
grant execute on function lockstep.remove_worker_rename(text) to lockstep_admin;
"#)]
fn remove_worker_rename(old_name: Option<&str>) {
    remove(required(old_name, "old_name")).or_raise();
}

fn remove(old: &str) -> Result<()> {
    lock_renames()?;
    let renames = Renames::read();
    match renames.from(old) {
        None => Err(JobError::NotRenamed {
            worker: old.to_owned(),
        }
        .into()),
        Some(rename) if rename.is_built_in => Err(JobError::BuiltInRename {
            worker: old.to_owned(),
        }
        .into()),
        Some(rename) => {
            STATEMENTS.with(|statements| statements.remove.run(&[datum(old)]))?;
            move_keys(
                renames.first_name(old),
                &rename.new,
                renames.names_from(&rename.new),
            )
        }
    }
}

/// Retires a worker's old name, if no job has it any more.
// The lock waits for transactions that have enqueued, and blocks new ones, but not for long.
#[pg_extern(sql = r#"
create function lockstep.retire_worker(old_name text)
returns void language c set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.retire_worker(text) is
  'retires the old name of a renamed worker, if no job has it any more and its feature is fully on';
revoke execute on function lockstep.retire_worker(text) from public;
grant execute on function lockstep.retire_worker(text) to lockstep_admin;
"#)]
fn retire_worker(old_name: Option<&str>) {
    retire(required(old_name, "old_name")).or_raise();
}

fn retire(old: &str) -> Result<()> {
    lock_renames()?;
    let renames = Renames::read();
    let Some(rename) = renames.from(old) else {
        return Err(JobError::NotRenamed {
            worker: old.to_owned(),
        }
        .into());
    };
    if !rename.is_retired && !feature::is_fully_on(&rename.feature, &rename.schema)? {
        return Err(JobError::RenameNotOn {
            worker: old.to_owned(),
            feature: rename.feature.clone(),
        }
        .into());
    }
    let mut jobs = [0; 3];
    STATEMENTS.with(|statements| {
        statements
            .jobs
            .rows_seeing(View::Newest, &[datum(old)], |row| {
                jobs = [1, 2, 3].map(|column| row.get::<i64>(column).unwrap_or_default());
            })
    })?;
    if jobs != [0; 3] {
        return Err(JobError::NotDrained {
            worker: old.to_owned(),
            jobs,
        }
        .into());
    }
    STATEMENTS.with(|statements| statements.retire.run(&[datum(old)]))?;
    Ok(())
}

fn lock_renames() -> Result<()> {
    STATEMENTS.with(|statements| statements.lock.run(&[]))?;
    Ok(())
}
