//! Jobs that a DBA registered: a table, a key, and one UPDATE with a placeholder for the range.

use super::built_in::is_built_in;
use super::counts::Counts;
use super::job::{Job, Task};
use super::key::{KeyRange, Walk, range_sql};
use crate::error::{BackfillError, OrRaise, Result, required};
use lockstep_server::host::{Relation, check_is_owner};
use lockstep_server::{
    OwnStatement, Statement, Target, View, as_role, connected, datum, has_rights_of, is_set_to,
    may_clear, with_settings,
};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

/// Stands for the condition on the key in a job's statement.
const PLACEHOLDER: &str = "{range}";

/// Session settings that change what a statement means: how names are found, literals read and values written as text.
const SETTINGS: [&str; 18] = [
    "search_path",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "timezone_abbreviations",
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "default_text_search_config",
    "escape_string_warning",
    "extra_float_digits",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "standard_conforming_strings",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Registers a job after checking all of it. It runs as the table's owner, under the current values of the settings that change
/// what its statement means, whoever starts it.
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
    key: Option<Vec<Option<String>>>,
) {
    let name = required(name, "name");
    let table = required(table, "table");
    let statement = required(statement, "statement");
    let key = key.map(|columns| {
        let columns = columns.into_iter();
        columns.map(|it| required(it, "a column of key")).collect()
    });
    register(name, table.to_u32(), statement, key).or_raise();
}

fn register(name: &str, table: u32, statement: &str, key: Option<Vec<String>>) -> Result<()> {
    if is_built_in(name)? || Registered::find(name)?.is_some() {
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
    let settings = settings_of_session();
    // Checked now, so that errors are reported now.
    expanded(statement, &settings, &table, &walk)?;
    let query = OwnStatement::new(
        "insert into lockstep.backfill_job (name, target_table, key_columns, statement, settings, owner)
         select $1, format('%I.%I', n.nspname, c.relname), $3::name[], $4, $5::jsonb, pg_get_userbyid(c.relowner)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $2",
        &[
            pg_sys::TEXTOID,
            pg_sys::OIDOID,
            pg_sys::TEXTARRAYOID,
            pg_sys::TEXTOID,
            pg_sys::TEXTOID,
        ],
    );
    let arguments = [
        datum(name),
        datum(Oid::from(table.oid)),
        datum(key),
        datum(statement),
        datum(serde_json::to_string(&settings).unwrap_or_default()),
    ];
    query.run(&arguments)?;
    Ok(())
}

/// Removes a registered job; its active runs fail at their next step.
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
    // Nobody owns a table that is gone.
    let is_left = job.owner == Oid::INVALID && may_clear(job.last_owner);
    if !is_left {
        job.check_rights(name)?;
    }
    let query = OwnStatement::new(
        "delete from lockstep.backfill_job where name = $1",
        &[pg_sys::TEXTOID],
    );
    query.run(&[datum(name)])?;
    Ok(())
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() <= 63
        && characters
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|rest| rest.is_ascii_lowercase() || rest.is_ascii_digit() || rest == '_')
}

/// By name, the order in which they are stored and set.
type Settings = BTreeMap<String, String>;

fn settings_of_session() -> Settings {
    let query = Statement::new("select pg_catalog.current_setting($1)", &[pg_sys::TEXTOID]);
    let setting = |name: &str| connected(|| query.text(&[datum(name)])).unwrap_or_default();
    SETTINGS.map(|name| (name.to_owned(), setting(name))).into()
}

/// A row of lockstep.backfill_job.
struct Registered {
    table: u32,
    key: Vec<String>,
    statement: String,
    settings: Settings,
    created_at: String,
    /// The table's owner; none if the table is gone.
    owner: Oid,
    /// Who owned it when the job was registered; none if that role is gone.
    last_owner: Oid,
}

impl Registered {
    fn find(name: &str) -> Result<Option<Self>> {
        let query = OwnStatement::new(
            // Not with to_regclass, which needs rights on the schema that we do not have.
            "select c.oid, j.key_columns::text[], j.statement, j.settings::text, j.created_at::text, c.relowner,
                    (select r.oid from pg_roles r where r.rolname = j.owner)
               from lockstep.backfill_job j
               left join (pg_class c join pg_namespace n on n.oid = c.relnamespace)
                 on (n.nspname, c.relname) = ((parse_ident(j.target_table))[1], (parse_ident(j.target_table))[2])
              where j.name = $1",
            &[pg_sys::TEXTOID],
        );
        let mut found = None;
        query.rows(&[datum(name)], |row| {
            found = Some(Self {
                table: row.get::<Oid>(1).unwrap_or(Oid::INVALID).to_u32(),
                key: row.get(2).unwrap_or_default(),
                statement: row.get(3).unwrap_or_default(),
                settings: serde_json::from_str(&row.get::<String>(4).unwrap_or_default())
                    .unwrap_or_default(),
                created_at: row.get(5).unwrap_or_default(),
                owner: row.get(6).unwrap_or(Oid::INVALID),
                last_owner: row.get(7).unwrap_or(Oid::INVALID),
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

    fn check_has_table(&self, name: &str) -> Result<()> {
        match Oid::from(self.table) {
            Oid::INVALID => Err(BackfillError::JobWithoutTable {
                job: name.to_owned(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Only a caller who could run the statement anyway may start or remove the job.
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
    job.check_has_table(name)?;
    job.check_rights(name)?;
    Ok(job.table)
}

/// Tells this registration apart from another one under the same name; the caller must have its owner's rights.
pub(super) fn registration(name: &str) -> Result<String> {
    let job = Registered::load(name)?;
    job.check_rights(name)?;
    Ok(job.created_at)
}

pub(super) fn task(name: &str, table: Relation) -> Result<Task> {
    let job = Registered::load(name)?;
    job.check_has_table(name)?;
    // The table may have changed since the job was registered.
    table.check_is_permanent_table()?;
    table.check_is_unique_key(&job.key)?;
    let walk = Walk::new(&table, &job.key)?;
    let statements = expanded(&job.statement, &job.settings, &table, &walk)?;
    Ok(Task {
        walk,
        table,
        job: Box::new(RegisteredJob {
            statements,
            settings: job.settings,
        }),
    })
}

struct RegisteredJob {
    /// For the first range, which has no lower bound, and for all others.
    statements: [Statement; 2],
    settings: Settings,
}

impl Job for RegisteredJob {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let statement = &self.statements[usize::from(!range.after.is_empty())];
        let updated = under(&self.settings, || {
            connected(|| statement.run_seeing(View::Own, &range.arguments()))
        });
        Ok(Counts {
            updated: updated as i64,
            ..Counts::default()
        })
    }
}

fn under<R>(settings: &Settings, work: impl FnOnce() -> R) -> R {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let settings: Vec<(CString, CString)> = settings
        .iter()
        .map(|(name, value)| match name.as_str() {
            // Otherwise temporary tables and views of the session that runs it would be found first. A path that names them
            // already keeps its order.
            "search_path" => match value.trim_ascii() {
                "" => (text(name), text("pg_temp")),
                path => (text(name), text(&format!("{path}, pg_temp"))),
            },
            _ => (text(name), text(value)),
        })
        .collect();
    // Most already have the right value, and some cause a file to be read when they are set.
    let settings: Vec<(&CStr, &CStr)> = settings
        .iter()
        .map(|(name, value)| (name.as_c_str(), value.as_c_str()))
        .filter(|(name, value)| !is_set_to(name, value))
        .collect();
    with_settings(&settings, work)
}

/// The statement for ranges without a lower bound, and with one, parsed as the table's owner, because literals can run code. It
/// must be a single update of the table that does not change the key and processes each row once.
fn expanded(
    statement: &str,
    settings: &Settings,
    table: &Relation,
    walk: &Walk,
) -> Result<[Statement; 2]> {
    let wrong = |reason: &str| {
        Err(BackfillError::Statement {
            reason: reason.to_owned(),
        }
        .into())
    };
    match statement.matches(PLACEHOLDER).count() {
        0 => return wrong("it has no place for the range"),
        1 => {}
        _ => return wrong("it has more than one place for the range"),
    }
    let parse = || {
        // The statement has no parameters of its own, so the parameter for the condition occurs once.
        Statement::new(&statement.replace(PLACEHOLDER, "(true)"), &[]).target();
        let marked = statement.replace(PLACEHOLDER, "($1)");
        let Target::Update {
            table: written,
            alias,
            columns,
            requires_parameter,
        } = Statement::new(&marked, &[pg_sys::BOOLOID]).target()
        else {
            return wrong("it is not one update and nothing else");
        };
        if written.to_u32() != table.oid {
            return wrong("it updates another table than the job's");
        }
        if !requires_parameter {
            return wrong(
                "its place for the range is not one of a condition that all its rows meet",
            );
        }
        if walk
            .columns
            .iter()
            .any(|key| columns.contains(&key.place().get()))
        {
            return wrong("it changes the key");
        }
        let alias = pgrx::spi::quote_identifier(alias);
        let parameters = [pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID];
        Ok([false, true].map(|has_lower_bound| {
            let condition = range_sql(&walk.columns, &alias, has_lower_bound);
            let text = statement.replace(PLACEHOLDER, &format!("({condition})"));
            let statement = Statement::planned_anew(&text, &parameters);
            statement.target();
            statement
        }))
    };
    as_role(&table.rights(), || under(settings, parse))
}

/// The qualified name of a function without arguments that returns text, found under the caller's search path.
pub(crate) fn hold_function(name: &str) -> Result<String> {
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
