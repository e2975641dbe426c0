//! Runs: one job processing one table.

use super::server_log;
use super::settings::Settings;
use crate::backfill::jobs::{Counts, Key};
use crate::error::{BackfillError, Result};
use lockstep_server::host::Relation;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, View, datum, has_rights_of, may_clear, role_name};
use pgrx::pg_sys::{self, Datum, Oid};
use serde_json::Value;

/// A row of lockstep_internal.backfill_run.
pub(crate) struct Run {
    pub(crate) id: i64,
    pub(crate) job: String,
    pub(crate) table: u32,
    pub(crate) status: Status,
    /// The owner of the table, as whom it runs; none if the table is gone.
    pub(crate) role: Oid,
    /// The owner that it last had.
    last_role: Oid,
    pub(crate) workers: i32,
    pub(crate) settings: Settings,
    pub(super) handed_out: Key,
    pub(crate) last_key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Paused,
    Cancelled,
    Finished,
    Failed,
}

impl Status {
    const ALL: [Self; 5] = [
        Self::Running,
        Self::Paused,
        Self::Cancelled,
        Self::Finished,
        Self::Failed,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    fn named(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|status| status.name() == name);
        found.unwrap_or_else(|| unreachable!("a constraint of the table names all statuses"))
    }
}

const COLUMNS: &str = "r.id, r.job, r.target_table::oid, r.status,
  (select c.relowner from pg_class c where c.oid = r.target_table), r.workers, r.settings::text, r.handed_out, r.last_key, r.role";

/// Whoever starts or changes the run has the rights of the present owner: errors may quote rows, which are not an earlier owner's.
const ROLE: &str =
    "role = coalesce((select c.relowner from pg_class c where c.oid = target_table), role)";

struct Statements {
    load: OwnStatement,
    lock: OwnStatement,
    of_table: OwnStatement,
    insert: OwnStatement,
    set_status: OwnStatement,
    set_settings: OwnStatement,
    hand_out: OwnStatement,
    counts: OwnStatement,
    add_counts: OwnStatement,
    set_error: OwnStatement,
    set_error_at_once: OwnStatement,
    ask_for_workers: OwnStatement,
    not_resumed: OwnStatement,
    have_come: OwnStatement,
    give_up: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements::new();
}

impl Statements {
    fn new() -> Self {
        let select = |rest: &str| {
            format!("select {COLUMNS} from lockstep_internal.backfill_run r where {rest}")
        };
        Self {
            load: OwnStatement::new(&select("r.id = $1"), &[pg_sys::INT8OID]),
            lock: OwnStatement::new(&select("r.id = $1 for update"), &[pg_sys::INT8OID]),
            of_table: OwnStatement::new(
                &select("r.target_table = $1 and r.status in ('running', 'paused')"),
                &[pg_sys::OIDOID],
            ),
            insert: OwnStatement::new(
                "insert into lockstep_internal.backfill_run
                   (job, target_table, workers, settings, last_key, rows_estimated, role)
                 values ($1, $2, $3, $4::jsonb, $5, $6, (select c.relowner from pg_class c where c.oid = $2))
                 on conflict (target_table) where status in ('running', 'paused') do nothing
                 returning id",
                &[
                    pg_sys::TEXTOID,
                    pg_sys::OIDOID,
                    pg_sys::INT4OID,
                    pg_sys::TEXTOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::INT8OID,
                ],
            ),
            set_status: OwnStatement::new(
                &format!(
                    "update lockstep_internal.backfill_run
                        set status = $2, held_by = null, {ROLE},
                            finished_at = case when $2 in ('running', 'paused') then null else clock_timestamp() end
                      where id = $1"
                ),
                &[pg_sys::INT8OID, pg_sys::TEXTOID],
            ),
            set_settings: OwnStatement::new(
                &format!(
                    "update lockstep_internal.backfill_run set settings = $2::jsonb, workers = $3, {ROLE} where id = $1"
                ),
                &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::INT4OID],
            ),
            hand_out: OwnStatement::new(
                "update lockstep_internal.backfill_run set handed_out = $2 where id = $1",
                &[pg_sys::INT8OID, pg_sys::TEXTARRAYOID],
            ),
            counts: OwnStatement::new(
                "select r.scanned, r.updated, r.unresolved::text from lockstep_internal.backfill_run r where r.id = $1 for update",
                &[pg_sys::INT8OID],
            ),
            add_counts: OwnStatement::new(
                "update lockstep_internal.backfill_run
                    set scanned = $2, updated = $3, unresolved = $4::jsonb, longest_ms = greatest(longest_ms, $5)
                  where id = $1",
                &[
                    pg_sys::INT8OID,
                    pg_sys::INT8OID,
                    pg_sys::INT8OID,
                    pg_sys::TEXTOID,
                    pg_sys::FLOAT8OID,
                ],
            ),
            set_error: OwnStatement::new(
                "update lockstep_internal.backfill_run set last_error = $2 where id = $1",
                &[pg_sys::INT8OID, pg_sys::TEXTOID],
            ),
            set_error_at_once: OwnStatement::new(
                "update lockstep_internal.backfill_run r set last_error = $2
                   from (select from lockstep_internal.backfill_run l where l.id = $1 and l.status = 'running' for update skip locked) l
                  where r.id = $1",
                &[pg_sys::INT8OID, pg_sys::TEXTOID],
            ),
            ask_for_workers: OwnStatement::new(
                "update lockstep_internal.backfill_run set workers_asked_at = clock_timestamp() where id = $1",
                &[pg_sys::INT8OID],
            ),
            // It is tried again as late as if its workers had been asked for.
            not_resumed: OwnStatement::new(
                "update lockstep_internal.backfill_run set last_error = $2, workers_asked_at = clock_timestamp() where id = $1",
                &[pg_sys::INT8OID, pg_sys::TEXTOID],
            ),
            have_come: OwnStatement::new(
                "update lockstep_internal.backfill_run r set workers_asked_at = null
                   from (select from lockstep_internal.backfill_run l
                          where l.id = $1 and l.workers_asked_at is not null for update skip locked) l
                  where r.id = $1",
                &[pg_sys::INT8OID],
            ),
            give_up: OwnStatement::new(
                "update lockstep_internal.backfill_run set status = 'paused', held_by = $2, last_error = $3 where id = $1",
                &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::TEXTOID],
            ),
        }
    }
}

/// The data of a new run.
pub(crate) struct NewRun<'a> {
    pub(crate) job: &'a str,
    pub(crate) table: u32,
    pub(crate) workers: i32,
    pub(crate) settings: &'a Settings,
    pub(crate) last_key: Key,
    pub(crate) rows_estimated: i64,
}

impl NewRun<'_> {
    /// Returns None if the table already has a run. Waits for another session that is starting one.
    pub(crate) fn insert(self) -> Result<Option<i64>> {
        let arguments = [
            datum(self.job),
            datum(Oid::from(self.table)),
            datum(self.workers),
            datum(self.settings.json()),
            datum(self.last_key),
            datum(self.rows_estimated),
        ];
        let mut id = None;
        STATEMENTS.with(|statements| {
            statements
                .insert
                .rows(&arguments, |row| id = row.get::<i64>(1))
        })?;
        Ok(id)
    }
}

impl Run {
    pub(crate) fn find(id: i64) -> Result<Option<Self>> {
        STATEMENTS.with(|statements| Self::one(&statements.load, View::Own, datum(id)))
    }

    /// The run as it is now, not as it was when the transaction began.
    pub(super) fn find_newest(id: i64) -> Result<Option<Self>> {
        STATEMENTS.with(|statements| Self::one(&statements.load, View::NewestReadOnly, datum(id)))
    }

    /// The run, locked until the end of the transaction.
    pub(crate) fn lock(id: i64) -> Result<Self> {
        STATEMENTS
            .with(|statements| Self::one(&statements.lock, View::Own, datum(id)))?
            .ok_or_else(|| BackfillError::NoSuchRun { run: id }.into())
    }

    /// The caller must have the rights of the table's owner, or may clear away what is left once the table is gone.
    pub(crate) fn checked(self) -> Result<Self> {
        let is_left = self.role == Oid::INVALID && may_clear(self.last_role);
        match is_left || has_rights_of(self.role) {
            true => Ok(self),
            false => Err(BackfillError::NotRunOwner { run: self.id }.into()),
        }
    }

    /// The active run of a table.
    pub(crate) fn of_table(table: u32) -> Result<Option<Self>> {
        STATEMENTS
            .with(|statements| Self::one(&statements.of_table, View::Own, datum(Oid::from(table))))
    }

    fn one(statement: &OwnStatement, view: View, argument: Datum) -> Result<Option<Self>> {
        let mut found = None;
        statement.rows_seeing(view, &[argument], |row| {
            found = Some(Self {
                id: row.get(1).unwrap_or_default(),
                job: row.get(2).unwrap_or_default(),
                table: row.get::<Oid>(3).unwrap_or(Oid::INVALID).to_u32(),
                status: Status::named(&row.get::<String>(4).unwrap_or_default()),
                role: row.get(5).unwrap_or(Oid::INVALID),
                workers: row.get(6).unwrap_or_default(),
                settings: Settings::stored(&row.get::<String>(7).unwrap_or_default()),
                handed_out: row.get(8).unwrap_or_default(),
                last_key: row.get(9).unwrap_or_default(),
                last_role: row.get(10).unwrap_or(Oid::INVALID),
            });
        })?;
        Ok(found)
    }

    pub(crate) fn set_status(&self, status: Status) -> Result<()> {
        let arguments = [datum(self.id), datum(status.name())];
        STATEMENTS.with(|statements| statements.set_status.run(&arguments))?;
        match status {
            Status::Failed => server_log::failed(&self.name(), self.id),
            Status::Running => server_log::changed(&self.name(), "resumed"),
            status => server_log::changed(&self.name(), status.name()),
        }
        Ok(())
    }

    /// As people tell it from others.
    pub(crate) fn name(&self) -> String {
        let table = Relation::describe(self.table);
        let table = table.map_or_else(|_| self.table.to_string(), |table| table.qualified_name());
        let (id, job) = (self.id, &self.job);
        match self.role {
            Oid::INVALID => format!("lockstep: backfill run {id}, {job} on {table}"),
            role => format!(
                "lockstep: backfill run {id}, {job} on {table} as {}",
                role_name(role)
            ),
        }
    }

    pub(crate) fn change(&self, settings: &Value, workers: Option<i32>) -> Result<()> {
        let settings = self.settings.changed(settings)?;
        let workers = workers.unwrap_or(self.workers);
        let arguments = [datum(self.id), datum(settings.json()), datum(workers)];
        STATEMENTS.with(|statements| statements.set_settings.run(&arguments))?;
        Ok(())
    }

    pub(crate) fn hand_out(&self, up_to: &Key) -> Result<()> {
        let arguments = [datum(self.id), datum(up_to.clone())];
        STATEMENTS.with(|statements| statements.hand_out.run(&arguments))?;
        Ok(())
    }

    /// Adds the counts of a finished range. The run stays locked, so this comes last in a transaction.
    pub(super) fn add_counts(&self, counts: &Counts, longest_ms: f64) -> Result<()> {
        STATEMENTS.with(|statements| {
            let mut sum = counts.clone();
            statements.counts.rows(&[datum(self.id)], |row| {
                sum.add(&Counts {
                    scanned: row.get(1).unwrap_or_default(),
                    updated: row.get(2).unwrap_or_default(),
                    unresolved: Counts::unresolved_of_json(
                        &row.get::<String>(3).unwrap_or_default(),
                    ),
                });
            })?;
            statements.add_counts.run(&[
                datum(self.id),
                datum(sum.scanned),
                datum(sum.updated),
                datum(sum.unresolved_json()),
                datum(longest_ms),
            ])
        })?;
        Ok(())
    }

    /// Until one of them has come, that there is none is nothing to speak of.
    pub(super) fn ask_for_workers(&self) -> Result<()> {
        STATEMENTS.with(|statements| statements.ask_for_workers.run(&[datum(self.id)]))?;
        Ok(())
    }

    /// Says why its workers cannot be asked for.
    pub(crate) fn not_resumed(id: i64, error: &str) -> Result<()> {
        let arguments = [datum(id), datum(error)];
        STATEMENTS.with(|statements| statements.not_resumed.run(&arguments))?;
        server_log::not_resumed(id, error);
        Ok(())
    }

    /// Says how many of its workers it gets.
    pub(crate) fn resumed_with_fewer(id: i64, fewer: &str) -> Result<()> {
        Self::set_error(id, fewer)?;
        server_log::resumed_with_fewer(id, fewer);
        Ok(())
    }

    pub(super) fn have_come(id: i64) -> Result<()> {
        STATEMENTS.with(|statements| statements.have_come.run(&[datum(id)]))?;
        Ok(())
    }

    pub(super) fn set_error(id: i64, error: &str) -> Result<()> {
        let arguments = [datum(id), datum(error)];
        STATEMENTS.with(|statements| statements.set_error.run(&arguments))?;
        Ok(())
    }

    /// The same for an active run, skipped if it would have to wait.
    pub(super) fn set_error_at_once(id: i64, error: &str) -> Result<()> {
        let arguments = [datum(id), datum(error)];
        STATEMENTS.with(|statements| statements.set_error_at_once.run(&arguments))?;
        Ok(())
    }

    /// Pauses the run until it is resumed.
    pub(super) fn give_up(&self, reason: &str, error: &str) -> Result<()> {
        let arguments = [datum(self.id), datum(reason), datum(error)];
        STATEMENTS.with(|statements| statements.give_up.run(&arguments))?;
        server_log::given_up(&self.name(), self.id, error);
        Ok(())
    }
}
