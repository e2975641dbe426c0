//! Jobs that a DBA registered: a table, a key, and one UPDATE with a place for the range.

use super::counts::Counts;
use super::job::{Job, Task};
use super::key::{KeyRange, Walk, range_sql, with_iso_dates};
use super::registry::is_built_in;
use crate::error::{BackfillError, OrRaise, Result, required};
use crate::host::{Relation, check_is_owner};
use crate::own_statement::OwnStatement;
use crate::server::{
    Statement, Target, View, as_role, attempt, connected, current_user, datum, has_rights_of,
    with_settings,
};
use pgrx::PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::ffi::CString;
use std::panic::AssertUnwindSafe;

/// Stands for the condition on the key in the statement of a job.
const PLACEHOLDER: &str = "{range}";

/// Registers a job of the caller's own, after everything about it is checked. It runs with the caller's rights and under the
/// search path of now, whoever starts it.
#[pg_extern(sql = r#"
create function lockstep.register_backfill_job(name text, "table" regclass, statement text, key text[] default null)
returns void language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.register_backfill_job(text, regclass, text, text[]) is
  'registers one update of a table as a backfill job; {range} in it stands for the condition on the key, the primary key by default';
"#)]
fn register_backfill_job(
    name: Option<&str>,
    table: Option<Oid>,
    statement: Option<&str>,
    key: Option<Vec<String>>,
) {
    let name = required(name, "name");
    let table = required(table, "table");
    let statement = required(statement, "statement");
    register(name, table.to_u32(), statement, key).or_raise();
}

fn register(name: &str, table: u32, statement: &str, key: Option<Vec<String>>) -> Result<()> {
    if is_built_in(name) || Registered::find(name)?.is_some() {
        return Err(BackfillError::JobExists {
            job: name.to_owned(),
        }
        .into());
    }
    if !is_name(name) {
        return Err(BackfillError::JobName {
            job: name.to_owned(),
        }
        .into());
    }
    let table = Relation::describe(table)?;
    check_is_owner(&table)?;
    table.check_is_permanent_table()?;
    let key = match key {
        Some(key) => key,
        None => table.primary_key()?.to_vec(),
    };
    table.check_is_unique_key(&key)?;
    let walk = Walk::new(&table, &key)?;
    // Both forms are parsed, so that what is wrong is said now.
    expanded(statement, &table, &walk)?;
    check_placeholder(statement)?;
    let query = OwnStatement::new(
        "insert into lockstep.backfill_job (name, target_table, key_columns, statement, search_path, owner)
         select $1, format('%I.%I', n.nspname, c.relname), $3::name[], $4, $5, $6::regrole::text
           from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $2",
        &[
            pg_sys::TEXTOID,
            pg_sys::OIDOID,
            pg_sys::TEXTARRAYOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
            pg_sys::OIDOID,
        ],
    );
    let arguments = [
        datum(name),
        datum(Oid::from(table.oid)),
        datum(key),
        datum(statement),
        datum(search_path()),
        datum(current_user()),
    ];
    query.run(&arguments)?;
    Ok(())
}

/// Forgets a registered job; runs of it that are under way fail at their next step.
#[pg_extern(sql = r#"
create function lockstep.unregister_backfill_job(name text)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.unregister_backfill_job(text) is 'forgets a job registered by register_backfill_job';
"#)]
fn unregister_backfill_job(name: Option<&str>) {
    let name = required(name, "name");
    unregister(name).or_raise();
}

fn unregister(name: &str) -> Result<()> {
    let job = Registered::load(name)?;
    job.check_rights(name)?;
    let query = OwnStatement::new(
        "delete from lockstep.backfill_job where name = $1",
        &[pg_sys::TEXTOID],
    );
    query.run(&[datum(name)])?;
    Ok(())
}

/// In a comment or in a string the placeholder would be no condition, and each sub-batch would write the whole table.
fn check_placeholder(statement: &str) -> Result<()> {
    let broken = statement.replace(PLACEHOLDER, "lockstep_no_such_column");
    let parsed = attempt(AssertUnwindSafe(|| {
        Statement::new(&broken, &[]).target();
    }));
    match parsed {
        Err(failure) if failure.code == ERRCODE_UNDEFINED_COLUMN => Ok(()),
        _ => Err(BackfillError::Statement {
            reason: "its place for the range is not one of a condition".to_owned(),
        }
        .into()),
    }
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() <= 63
        && characters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|rest| rest.is_ascii_lowercase() || rest.is_ascii_digit() || rest == '_')
}

fn search_path() -> String {
    let query = Statement::new("select pg_catalog.current_setting('search_path')", &[]);
    connected(|| query.text(&[])).unwrap_or_default()
}

/// A row of lockstep.backfill_job.
struct Registered {
    table: u32,
    key: Vec<String>,
    statement: String,
    search_path: String,
    owner: Oid,
    created_at: String,
}

impl Registered {
    fn find(name: &str) -> Result<Option<Self>> {
        let query = OwnStatement::new(
            // Not by to_regclass, which asks for rights on the schema that we have not.
            "select (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
                      where (n.nspname, c.relname) = ((parse_ident(target_table))[1], (parse_ident(target_table))[2])),
                    key_columns::text[], statement, search_path, to_regrole(owner)::oid, created_at::text
               from lockstep.backfill_job where name = $1",
            &[pg_sys::TEXTOID],
        );
        let mut found = None;
        query.rows(&[datum(name)], |row| {
            found = Some(Self {
                table: row.get::<Oid>(1).unwrap_or(Oid::INVALID).to_u32(),
                key: row.get(2).unwrap_or_default(),
                statement: row.get(3).unwrap_or_default(),
                search_path: row.get(4).unwrap_or_default(),
                owner: row.get(5).unwrap_or(Oid::INVALID),
                created_at: row.get(6).unwrap_or_default(),
            });
        })?;
        Ok(found)
    }

    fn load(name: &str) -> Result<Self> {
        Self::find(name)?.ok_or_else(|| {
            BackfillError::NoSuchJob {
                job: name.to_owned(),
            }
            .into()
        })
    }

    /// Its names still mean something.
    fn check_is_whole(&self, name: &str) -> Result<()> {
        let what = match (Oid::from(self.table), self.owner) {
            (Oid::INVALID, _) => "table",
            (_, Oid::INVALID) => "role",
            _ => return Ok(()),
        };
        let job = name.to_owned();
        Err(BackfillError::JobWithout { job, what }.into())
    }

    /// Only who could run the statement anyway may start or forget the job.
    fn check_rights(&self, name: &str) -> Result<()> {
        match has_rights_of(self.owner) {
            true => Ok(()),
            false => Err(BackfillError::NotJobOwner {
                job: name.to_owned(),
            }
            .into()),
        }
    }
}

pub(super) fn table_of(name: &str) -> Result<u32> {
    let job = Registered::load(name)?;
    job.check_is_whole(name)?;
    job.check_rights(name)?;
    Ok(job.table)
}

/// Tells this registration of a job from another under the same name; the caller must have the rights of its owner.
pub(super) fn registration(name: &str) -> Result<String> {
    let job = Registered::load(name)?;
    job.check_rights(name)?;
    Ok(job.created_at)
}

pub(super) fn task(name: &str, table: Relation) -> Result<Task> {
    let job = Registered::load(name)?;
    job.check_is_whole(name)?;
    // The table may have changed since the job was registered.
    table.check_is_permanent_table()?;
    table.check_is_unique_key(&job.key)?;
    let walk = Walk::new(&table, &job.key)?;
    let statements =
        with_search_path(&job.search_path, || expanded(&job.statement, &table, &walk))?;
    Ok(Task {
        walk,
        table,
        job: Box::new(RegisteredJob {
            statements,
            search_path: job.search_path,
            owner: job.owner,
        }),
    })
}

struct RegisteredJob {
    /// For the first range, which has no bound below, and for all others.
    statements: [Statement; 2],
    search_path: String,
    owner: Oid,
}

impl Job for RegisteredJob {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let statement = &self.statements[usize::from(!range.after.is_empty())];
        let write = || {
            with_search_path(&self.search_path, || {
                let run = || statement.run_seeing(View::Own, &range.arguments());
                with_iso_dates(|| connected(run))
            })
        };
        let updated = as_role(self.owner, write);
        Ok(Counts {
            updated: updated as i64,
            ..Counts::default()
        })
    }
}

fn with_search_path<R>(path: &str, work: impl FnOnce() -> R) -> R {
    let path = CString::new(path).unwrap_or_default();
    with_settings(&[(c"search_path", &path)], work)
}

/// The statement for ranges without a bound below, and with one; it must be one update of the table.
fn expanded(statement: &str, table: &Relation, walk: &Walk) -> Result<[Statement; 2]> {
    let wrong = |reason: &str| {
        BackfillError::Statement {
            reason: reason.to_owned(),
        }
        .into()
    };
    if !statement.contains(PLACEHOLDER) {
        return Err(wrong("it has no place for the range"));
    }
    let parameters = [pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID];
    let plain = statement.replace(PLACEHOLDER, "($1 is not null and $2 is not null)");
    let alias = match Statement::new(&plain, &parameters).target() {
        Target::Update { table: oid, alias } if oid.to_u32() == table.oid => alias,
        Target::Update { .. } => return Err(wrong("it updates another table than the job's")),
        Target::Other => return Err(wrong("it is not one update and nothing else")),
    };
    let alias = pgrx::spi::quote_identifier(alias);
    Ok([false, true].map(|has_lower_bound| {
        let condition = range_sql(&walk.columns, &alias, has_lower_bound);
        let text = statement.replace(PLACEHOLDER, &format!("({condition})"));
        Statement::planned_anew(&text, &parameters)
    }))
}

/// The qualified name of a function without arguments that answers with text, found under the caller's search path.
pub(super) fn hold_function(name: &str) -> Result<String> {
    let query = Statement::new(
        "select pg_catalog.quote_ident(n.nspname) operator(pg_catalog.||) '.' operator(pg_catalog.||) pg_catalog.quote_ident(p.proname)
           from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
          where p.oid operator(pg_catalog.=) pg_catalog.to_regproc($1) and p.pronargs operator(pg_catalog.=) 0
            and p.prorettype operator(pg_catalog.=) 'pg_catalog.text'::pg_catalog.regtype and not p.proretset",
        &[pg_sys::TEXTOID],
    );
    connected(|| query.text(&[datum(name)])).ok_or_else(|| {
        BackfillError::HoldFunction {
            name: name.to_owned(),
        }
        .into()
    })
}
