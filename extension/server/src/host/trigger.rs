//! Our triggers on the application's tables: `attach` installs them, `detach` removes them, and DROP EXTENSION discards them.

use super::Answer;
use super::alter::{change, check_is_owner, lock_tables};
use super::relation::Relation;
use super::scope::{Scope, locks};
use crate::error::Result;
use crate::{Rights, citus, drop_with_extension};
use pgrx::pg_sys::Oid;

/// A trigger to install on an application table.
pub struct HostTrigger {
    pub name: &'static str,
    /// The event that fires it; `{table}` stands for the table.
    pub when: &'static str,
    pub function: &'static str,
}

/// The outcome of installing triggers.
pub enum Installed {
    Now,
    /// A dry run, with the locks that a real run would take.
    NotYet(String),
    Before,
    /// Why they cannot be installed.
    Unfit(String),
    /// A trigger is installed but disabled, which somebody did on purpose.
    Disabled {
        table: String,
        trigger: &'static str,
    },
}

impl Installed {
    /// The row that `attach` returns.
    pub fn answer(self, feature: String, now: impl Into<String>) -> Answer {
        let (status, detail) = match self {
            Self::Now => ("attached", now.into()),
            Self::NotYet(locks) => ("would attach", locks),
            Self::Before => ("attached", "already attached, nothing changed".to_owned()),
            Self::Unfit(why) => ("skipped", why),
            Self::Disabled { table, trigger } => (
                "attached",
                format!(
                    "already attached, but disabled; to enable it: alter table {table} enable trigger {trigger}"
                ),
            ),
        };
        (feature, status.to_owned(), detail)
    }
}

impl HostTrigger {
    /// Whether a table has it. A trigger with the same name may not be ours.
    pub fn is_on(&self, table: &Relation) -> bool {
        table
            .own_trigger(self.name)
            .is_some_and(|it| it.function.as_deref() == Some(self.function))
    }

    pub fn is_disabled_on(&self, table: &Relation) -> bool {
        self.is_on(table) && table.trigger(self.name).is_some_and(|it| !it.enabled)
    }

    fn create(&self, table: &Relation) -> Result<()> {
        let Self { name, function, .. } = self;
        let when = self.when.replace("{table}", &table.qualified_name());
        let action = format!("{when} execute function lockstep_internal.{function}()");
        create_trigger(
            &table.rights(),
            table.oid,
            name,
            &format!("create trigger {name} {action}"),
        )
    }
}

/// Creates a trigger with the rights of the table's owner. It belongs to the table, but is dropped with the extension; on a table
/// that Citus distributes, which refuses such triggers, it is for whoever drops the extension.
pub fn create_trigger(owner: &Rights, table: u32, name: &str, statement: &str) -> Result<()> {
    change(owner, statement)?;
    if !citus::manages(table) {
        drop_with_extension(Oid::from(table), name);
    }
    Ok(())
}

/// Installs the triggers that the tables lack.
pub fn install_triggers(
    scope: &Scope,
    tables: &[(&Relation, &[HostTrigger])],
) -> Result<Installed> {
    let all = || {
        tables
            .iter()
            .flat_map(|(table, triggers)| triggers.iter().map(move |trigger| (*table, trigger)))
    };
    if all().all(|(table, trigger)| trigger.is_on(table)) {
        let disabled = all().find(|(table, trigger)| trigger.is_disabled_on(table));
        return Ok(match disabled {
            Some((table, trigger)) => Installed::Disabled {
                table: table.qualified_name(),
                trigger: trigger.name,
            },
            None => Installed::Before,
        });
    }
    let named = tables
        .iter()
        .try_for_each(|(table, _)| table.check_trigger_names());
    if let Err(error) = named {
        return Ok(Installed::Unfit(error.message()));
    }
    let locked: Vec<&Relation> = tables.iter().map(|(table, _)| *table).collect();
    if scope.is_dry_run {
        return Ok(Installed::NotYet(locks(locked)));
    }
    lock_tables(&locked);
    for (table, triggers) in tables {
        // Another session may have attached while this one waited for the lock.
        let now = Relation::describe(table.oid)?;
        for trigger in *triggers {
            if !trigger.is_on(&now) {
                trigger.create(&now)?;
            }
        }
    }
    Ok(Installed::Now)
}

/// Removes the triggers from those of the tables that exist; returns whether there was one.
pub fn remove_triggers(schema: &str, tables: &[(&str, &[HostTrigger])]) -> Result<bool> {
    let mut found = false;
    for (name, triggers) in tables {
        let Some(table) = Relation::find_table(schema, name)? else {
            continue;
        };
        for trigger in triggers.iter().filter(|trigger| trigger.is_on(&table)) {
            check_is_owner(&table)?;
            let statement = format!(
                "drop trigger {} on {}",
                trigger.name,
                table.qualified_name()
            );
            change(&table.rights(), &statement)?;
            found = true;
        }
    }
    Ok(found)
}
