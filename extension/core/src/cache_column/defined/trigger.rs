//! A trigger as SQL, and its comparison with the installed one. Names and operators are qualified, so the search path does not
//! change their meaning.

use super::definition::Definition;
use crate::error::{Result, ServerError};
use lockstep_server::host::{Relation, change, create_trigger};
use lockstep_server::{Rights, Statement, connected, datum, manages, with_catalog_path};
use pgrx::pg_sys::{
    self, TRIGGER_TYPE_BEFORE as BEFORE, TRIGGER_TYPE_DELETE as DELETE,
    TRIGGER_TYPE_INSERT as INSERT, TRIGGER_TYPE_ROW as ROW, TRIGGER_TYPE_TRUNCATE as TRUNCATE,
    TRIGGER_TYPE_UPDATE as UPDATE,
};
use pgrx::spi::{quote_identifier, quote_literal};
use serde::Deserialize;
use std::collections::BTreeSet;

/// A trigger that must exist.
pub(crate) struct Trigger {
    pub(crate) table: Place,
    pub(crate) name: String,
    /// When it fires, as in pg_trigger.tgtype.
    pub(crate) kind: u32,
    /// Quoted; if not empty, only updates that name one of these columns count.
    pub(super) update_of: BTreeSet<String>,
    /// A condition, and the quoted column that it refers to.
    pub(crate) when: Option<(String, String)>,
    pub(crate) function: &'static str,
    /// The definitions that it serves.
    pub(crate) arguments: Vec<String>,
    pub(crate) always: bool,
    /// PostgreSQL creates it for partitions, together with the trigger of the whole table.
    pub(crate) is_copy: bool,
}

/// The table of a trigger.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) oid: u32,
    pub(crate) owner: u32,
    /// The qualified name, quoted where necessary.
    pub(crate) name: String,
    pub(crate) is_part: bool,
}

impl Place {
    pub(super) fn of(table: &Relation) -> Self {
        Self {
            oid: table.oid,
            owner: table.owner,
            name: table.qualified_name(),
            is_part: false,
        }
    }

    /// The table and its partitions.
    pub(super) fn all(table: &Relation) -> Vec<Self> {
        let parts = table.partitions.iter().map(|part| Self {
            oid: part.oid,
            owner: part.owner,
            name: part.name.clone(),
            is_part: true,
        });
        std::iter::once(Self::of(table)).chain(parts).collect()
    }
}

/// An installed trigger of ours: any trigger that calls one of our functions, whoever created it.
#[derive(Deserialize)]
pub(crate) struct Installed {
    table: u32,
    owner: u32,
    /// The qualified name of the table, quoted where necessary.
    table_name: String,
    name: String,
    function: String,
    kind: u32,
    enabled: char,
    arguments: String,
    /// It belongs to the trigger of the whole table.
    is_copy: bool,
    /// It fires for updates of certain columns only.
    is_of_columns: bool,
    /// These columns, and those in its condition; quoted.
    columns: BTreeSet<String>,
}

/// What is wrong with a trigger, the worst first, as shown in lockstep.cache_columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flaw {
    Missing,
    Disabled,
    NotAlways,
    OnAnotherColumn,
    UpdatesHidden,
    Outdated,
    MissingOnShard,
    MissingOnPart,
}

impl Flaw {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Missing => "triggers missing",
            Self::Disabled => "triggers disabled",
            Self::NotAlways => "triggers do not fire always",
            Self::OnAnotherColumn => "triggers on another column",
            Self::UpdatesHidden => "updates hidden by a before trigger",
            Self::Outdated => "triggers outdated",
            Self::MissingOnShard => "shards without triggers",
            Self::MissingOnPart => "partitions without triggers",
        }
    }
}

/// Our triggers on these tables.
pub(crate) fn installed_on(tables: &[u32]) -> Result<Vec<Installed>> {
    let query = Statement::new(
        "select coalesce(jsonb_agg(jsonb_build_object(
           'table', g.tgrelid::bigint, 'owner', c.relowner::bigint, 'table_name', format('%I.%I', cn.nspname, c.relname),
           'name', g.tgname, 'is_copy', g.tgparentid <> 0, 'function', (select p.proname from pg_proc p where p.oid = g.tgfoid), 'kind', g.tgtype, 'enabled', g.tgenabled::text,
           'arguments', encode(g.tgargs, 'escape'), 'is_of_columns', g.tgattr::text <> '', 'columns', array(
             select distinct quote_ident(a.attname) from pg_depend d
               join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
              where d.classid = 'pg_trigger'::regclass and d.objid = g.oid and d.refclassid = 'pg_class'::regclass
                and d.refobjid = g.tgrelid and d.refobjsubid > 0))), '[]')::text
           from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace cn on cn.oid = c.relnamespace
          where g.tgrelid = any ($1::bigint[]::oid[]) and g.tgfoid in (
            select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
             where n.nspname = 'lockstep_internal'
               and p.proname in ('flush', 'flush_truncated', 'note_changed', 'note_arrived', 'set_false_on_insert'))",
        &[pg_sys::INT8ARRAYOID],
    );
    let tables: Vec<i64> = tables.iter().copied().map(i64::from).collect();
    let text = with_catalog_path(|| connected(|| query.text(&[datum(tables)])));
    serde_json::from_str(&text.unwrap_or_default()).map_err(ServerError::catalog)
}

impl Installed {
    /// Whether it is a row trigger of the definition on its target.
    pub(crate) fn belongs_to(&self, definition: &Definition) -> bool {
        definition.target == self.table
            && self.name.starts_with(&name_of(definition.id, ""))
            && !matches!(
                self.function.as_str(),
                "flush" | "flush_truncated" | "note_changed"
            )
    }

    /// Whether it is the row trigger of a source, and the definition is among its arguments.
    pub(super) fn serves(&self, definition: &Definition) -> bool {
        let argument = escaped(&definition.argument());
        let mut arguments = self.arguments.split_inclusive(NUL);
        self.function == "note_changed" && arguments.any(|it| it == argument)
    }

    /// Whether it is the needed trigger.
    pub(crate) fn is_one(&self, needed: &Trigger) -> bool {
        (self.table, self.name.as_str(), self.function.as_str())
            == (needed.table.oid, needed.name.as_str(), needed.function)
    }

    pub(crate) fn drop(&self) -> Result<()> {
        self.drop_by(&change)
    }

    /// `change` runs a statement that changes the table of that owner.
    pub(crate) fn drop_by(&self, change: &dyn Fn(&Rights, &str) -> Result<()>) -> Result<()> {
        if self.is_copy {
            return Ok(());
        }
        let name = quote_identifier(&self.name);
        let table = &self.table_name;
        let owner = Rights::of(self.owner, table);
        if self.kind & TRUNCATE != 0 && manages(self.table) {
            // Citus copies such a trigger to shards that it moves, but drops it on shards only if it is for something else.
            let other = format!(
                "create or replace trigger {name} after insert on {table} for each statement execute function lockstep_internal.flush()"
            );
            change(&owner, &other)?;
        }
        change(&owner, &format!("drop trigger {name} on {table}"))
    }
}

/// The end of an argument as PostgreSQL's encode shows it.
const NUL: &str = "\\000";

/// An argument as PostgreSQL's encode shows the stored one, with the NUL behind it.
fn escaped(argument: &str) -> String {
    let escaped = argument.bytes().map(|byte| match byte {
        b'\\' => "\\\\".to_owned(),
        0 | 128.. => format!("\\{byte:03o}"),
        _ => char::from(byte).to_string(),
    });
    escaped.collect::<String>() + NUL
}

/// The name of a row trigger of a definition.
pub(super) fn name_of(id: i32, what: &str) -> String {
    format!("lockstep_{id}_{what}")
}

impl Trigger {
    pub(crate) fn new(table: Place, name: &str, kind: u32, function: &'static str) -> Self {
        Self {
            table,
            name: name.to_owned(),
            kind,
            update_of: BTreeSet::new(),
            when: None,
            function,
            arguments: Vec::new(),
            always: false,
            is_copy: false,
        }
    }

    /// Citus creates no such trigger on shards.
    pub(crate) fn is_for_truncate(&self) -> bool {
        self.kind & TRUNCATE != 0
    }

    /// On a partitioned table PostgreSQL creates it for the partitions as well.
    pub(crate) fn is_for_rows(&self) -> bool {
        self.kind & ROW != 0
    }

    fn find<'a>(&self, installed: &'a [Installed]) -> Option<&'a Installed> {
        installed.iter().find(|found| found.is_one(self))
    }

    /// What is wrong with the installed trigger.
    pub(crate) fn flaw(&self, installed: &[Installed]) -> Option<Flaw> {
        let Some(found) = self.find(installed) else {
            return match (self.is_copy, self.table.is_part) {
                (true, _) => None,
                (false, true) => Some(Flaw::MissingOnPart),
                (false, false) => Some(Flaw::Missing),
            };
        };
        let mut columns = self.update_of.clone();
        columns.extend(self.when.iter().map(|(column, _)| column.clone()));
        let arguments: Vec<String> = self.arguments.iter().map(|it| escaped(it)).collect();
        if matches!(found.enabled, 'D' | 'R') {
            Some(Flaw::Disabled)
        } else if self.always && found.enabled != 'A' {
            Some(Flaw::NotAlways)
        } else if self.is_copy {
            None
        } else if self.kind & UPDATE != 0 && self.update_of.is_empty() && found.is_of_columns {
            Some(Flaw::UpdatesHidden)
        } else if found.columns != columns {
            Some(Flaw::OnAnotherColumn)
        } else if found.kind != self.kind || found.arguments != arguments.concat() {
            Some(Flaw::Outdated)
        } else {
            None
        }
    }

    /// Whether the installed trigger serves other definitions than it should. A trigger that somebody disabled stays disabled.
    pub(crate) fn is_changed(&self, installed: &[Installed]) -> bool {
        match self.flaw(installed) {
            Some(Flaw::Missing | Flaw::MissingOnPart | Flaw::Disabled) => false,
            Some(_) => true,
            None => !self.always && self.find(installed).is_some_and(|it| it.enabled == 'A'),
        }
    }

    /// Installs it, replacing our existing trigger. It is dropped with the extension, although it belongs to the application's
    /// table.
    pub(crate) fn install(&self, installed: &[Installed]) -> Result<()> {
        let Self { name, table, .. } = self;
        let table = &table.name;
        let owner = &Rights::of(self.table.owner, table);
        let is_replaced = self.find(installed).is_some();
        if !self.is_copy {
            // PostgreSQL 13 has no CREATE OR REPLACE TRIGGER, which takes no lock that blocks readers.
            let create = match is_replaced && cfg!(not(feature = "pg13")) {
                true => "create or replace trigger",
                false => "create trigger",
            };
            if is_replaced && cfg!(feature = "pg13") {
                change(owner, &format!("drop trigger {name} on {table}"))?;
            }
            let statement = format!("{create} {name} {}", self.action());
            create_trigger(owner, self.table.oid, name, &statement)?;
        }
        if self.always || self.is_copy {
            let always = if self.always { "always" } else { "" };
            change(
                owner,
                &format!("alter table {table} enable {always} trigger {name}"),
            )?;
        }
        Ok(())
    }

    /// The part of the CREATE TRIGGER statement after the name.
    fn action(&self) -> String {
        let timing = match self.kind & BEFORE {
            0 => "after",
            _ => "before",
        };
        // The update comes last, because its columns follow it.
        let events: Vec<&str> = [
            (INSERT, "insert"),
            (DELETE, "delete"),
            (TRUNCATE, "truncate"),
            (UPDATE, "update"),
        ]
        .into_iter()
        .filter_map(|(bit, event)| (self.kind & bit != 0).then_some(event))
        .collect();
        let columns: Vec<&str> = self.update_of.iter().map(String::as_str).collect();
        let of = match columns.as_slice() {
            [] => String::new(),
            columns => format!("of {}", columns.join(", ")),
        };
        let each = match self.kind & ROW {
            0 => "statement",
            _ => "row",
        };
        let when = match &self.when {
            None => String::new(),
            Some((_, condition)) => format!("when ({condition})"),
        };
        let arguments: Vec<String> = self.arguments.iter().map(quote_literal).collect();
        format!(
            "{timing} {} {of} on {} for each {each} {when} execute function lockstep_internal.{}({})",
            events.join(" or "),
            self.table.name,
            self.function,
            arguments.join(", ")
        )
    }
}
