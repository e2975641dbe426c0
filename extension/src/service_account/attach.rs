//! The trigger on the host's workflows: installed by `lockstep.attach`, removed by `lockstep.detach`, or alone.

use super::tables::{ACCOUNT, Tables, WORKFLOWS};
use crate::attach::Answer;
use crate::error::{OrRaise, Result, required};
use crate::host::{self, Relation, check_is_owner, lock_tables, run_as_owner_of};
use pgrx::prelude::*;

const TRIGGER: &str = "lockstep_service_account";

fn answer(status: &str, detail: impl Into<String>) -> Result<Answer> {
    let feature = format!("{WORKFLOWS}.{ACCOUNT}");
    Ok((feature, status.to_owned(), detail.into()))
}

/// Fills the service account of new workflows of a schema from now on, if it has all that this takes.
pub(crate) fn attach(schema: &str) -> Result<Answer> {
    let Some(workflows) = Relation::find_table(schema, WORKFLOWS)? else {
        return answer(
            "skipped",
            format!("schema {schema} has no table {WORKFLOWS}"),
        );
    };
    check_is_owner(&workflows)?;
    let checked = workflows
        .check_is_permanent_table()
        .and_then(|()| Tables::of_schema(schema));
    let tables = match checked {
        Ok(tables) => tables,
        Err(error) => return answer("skipped", error.message()),
    };
    for table in &tables.read {
        check_is_owner(table)?;
    }
    let name = workflows.qualified_name();
    let installed = workflows.trigger(TRIGGER);
    if installed.is_none() {
        lock_tables(&[&workflows]);
        // Somebody else may have attached while this waited for the lock.
        if Relation::describe(workflows.oid)?
            .trigger(TRIGGER)
            .is_none()
        {
            run_as_owner_of(&workflows, &[
                format!(
                    "create trigger {TRIGGER} before insert on {name} for each row when (new.{ACCOUNT} is null)
                       execute function lockstep.set_service_account()"
                ),
                format!("alter trigger {TRIGGER} on {name} depends on extension lockstep"),
            ])?;
            let [.., consumers] = &tables.read;
            return answer(
                "attached",
                format!("filled on insert from {}", consumers.qualified_name()),
            );
        }
    }
    match installed {
        Some(trigger) if !trigger.enabled => answer(
            "attached",
            format!(
                "already attached, but disabled; to enable it: alter table {name} enable trigger {TRIGGER}"
            ),
        ),
        _ => answer("attached", "already attached, nothing changed"),
    }
}

/// Removes the trigger.
pub(crate) fn detach(schema: &str) -> Result<Answer> {
    let workflows = Relation::find_table(schema, WORKFLOWS)?;
    let attached = workflows.filter(|table| table.trigger(TRIGGER).is_some());
    let Some(workflows) = attached else {
        return answer("skipped", "not attached");
    };
    check_is_owner(&workflows)?;
    let drop = format!("drop trigger {TRIGGER} on {}", workflows.qualified_name());
    run_as_owner_of(&workflows, &[drop])?;
    answer("detached", "trigger removed")
}

/// Leaves the service accounts of new workflows alone from now on; all else that is attached stays.
#[pg_extern(sql = r#"
create function lockstep.detach_service_accounts(schema text default 'public')
returns table (feature text, status text, detail text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.detach_service_accounts(text) is
  'stops filling the service account of new workflows; lockstep.attach brings it back';
"#)]
fn detach_service_accounts(
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(feature, String),
        name!(status, String),
        name!(detail, String),
    ),
> {
    let schema = required(schema, "schema");
    let answer = host::check_schema(schema).and_then(|()| detach(schema));
    TableIterator::once(answer.or_raise())
}
