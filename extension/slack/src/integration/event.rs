//! Events recorded for an integration.

use super::table;
use crate::error::{OrRaise, Result, required};
use lockstep_server::host::{self, Known};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, Rights, Statement, View, as_owner, connected, datum};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

kept! {
    static INSERT: OwnStatement = OwnStatement::new(
        "insert into lockstep_internal.integration_event (integration_id, event, job) values ($1, nullif($2, ''), nullif($3, 0))
         on conflict (job) do nothing",
        &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::INT8OID],
    );
}

/// Records an event for an integration. Like GitLab's worker it ignores an integration that no longer exists.
#[pg_extern(sql = r#"
create function lockstep.record_integration_event(integration bigint, data jsonb, job bigint default null, schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.record_integration_event(bigint, jsonb, bigint, text) is
  'records an event at an integration, once a job; returns whether the integration exists';
revoke execute on function lockstep.record_integration_event(bigint, jsonb, bigint, text) from public;
grant execute on function lockstep.record_integration_event(bigint, jsonb, bigint, text) to lockstep_admin, lockstep_app;
"#)]
fn record_integration_event(
    integration: Option<i64>,
    data: Option<Jsonb>,
    job: Option<i64>,
    schema: Option<&str>,
) -> bool {
    let integration = required(integration, "integration");
    let data = required(data, "data").0;
    let schema = required(schema, "schema");
    let event = data.get("object_kind").and_then(|kind| kind.as_str());
    record(integration, event, job, schema).or_raise()
}

/// The application's integrations: their owner, and the lookup.
struct Integrations {
    owner: Rights,
    find: Statement,
}

kept! {
    static KNOWN: RefCell<Known<String, Rc<Integrations>>> = RefCell::new(Known::new());
}

fn integrations(schema: &str) -> Result<Rc<Integrations>> {
    // Processes other sessions' changes of the table: this session may have been idle for long.
    host::catch_up();
    KNOWN.with(|known| {
        Known::get_or_learn(known, schema.to_owned(), || {
            let table = table(schema, "integrations")?;
            host::watch(Oid::from(table.oid));
            let id = table.integer_primary_key()?;
            let find = format!(
                "select 1 from {} i where i.{} operator(pg_catalog.=) $1 for key share",
                table.qualified_name(),
                id.quoted()
            );
            Ok(Rc::new(Integrations {
                owner: table.rights(),
                find: Statement::by_index(&find, &[pg_sys::INT8OID], &Rc::from([id.name.clone()])),
            }))
        })
    })
}

fn record(integration: i64, event: Option<&str>, job: Option<i64>, schema: &str) -> Result<bool> {
    let integrations = integrations(schema)?;
    let arguments = [datum(integration)];
    let found = as_owner(&integrations.owner, || {
        connected(|| integrations.find.run_seeing(View::Own, &arguments))
    });
    if found == 0 {
        return Ok(false);
    }
    let arguments = [
        datum(integration),
        datum(event.unwrap_or_default()),
        datum(job.unwrap_or_default()),
    ];
    INSERT.with(|statement| statement.run(&arguments))?;
    Ok(true)
}
