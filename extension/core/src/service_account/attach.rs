//! The trigger on the application's workflows: installed by `lockstep.attach`, removed by `lockstep.detach` or on its own.

use super::tables::{ACCOUNT, Tables, WORKFLOWS};
use crate::error::{OrRaise, Result, required};
use lockstep_server::host::{
    self, Answer, HostTrigger, Relation, Scope, Writes, check_is_owner, install_triggers,
    remove_triggers,
};
use pgrx::prelude::*;

const TRIGGERS: [HostTrigger; 1] = [HostTrigger {
    name: "lockstep_service_account",
    when: "before insert on {table} for each row when (new.service_account_id is null)",
    function: "set_service_account",
}];

pub(crate) fn feature() -> String {
    format!("{WORKFLOWS}.{ACCOUNT}")
}

fn answer(status: &str, detail: impl Into<String>) -> Result<Answer> {
    Ok((feature(), status.to_owned(), detail.into()))
}

/// Fills the service account of a schema's new workflows from now on, if the schema has all that this needs.
pub(crate) fn attach(schema: &str, scope: &Scope) -> Result<Answer> {
    let Some(workflows) = Relation::find_table(schema, WORKFLOWS)? else {
        return answer(
            "skipped",
            format!("schema {schema} has no table {WORKFLOWS}"),
        );
    };
    check_is_owner(&workflows)?;
    let checked = workflows
        .check_is_permanent_table()
        .and_then(|()| workflows.check_defers_nothing(Writes::Column(ACCOUNT)))
        .and_then(|()| Tables::of_schema(schema));
    let tables = match checked {
        Ok(tables) => tables,
        Err(error) => return answer("skipped", error.message()),
    };
    for table in &tables.read {
        check_is_owner(table)?;
    }
    let [.., consumers] = &tables.read;
    let now = format!("filled on insert from {}", consumers.qualified_name());
    let installed = install_triggers(scope, &[(&workflows, &TRIGGERS)])?;
    Ok(installed.answer(feature(), now))
}

/// Removes the trigger.
pub(crate) fn detach(schema: &str) -> Result<Answer> {
    match remove_triggers(schema, &[(WORKFLOWS, &TRIGGERS)])? {
        true => answer("detached", "trigger removed"),
        false => answer("skipped", "not attached"),
    }
}

/// Stops filling the service accounts of new workflows; everything else stays attached.
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
