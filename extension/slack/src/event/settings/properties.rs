//! Encrypted properties of integrations, for a caller that has the application's key.

use crate::error::{OrRaise, Result, required};
use crate::event::tables::{Tables, class};
use crate::slack_workspace::check_max_rows;
use lockstep_server::host::qualified;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, Statement, View, datum, keys_argument};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::BTreeSet;

type Properties = (i64, Vec<u8>, Option<Vec<u8>>, bool);

kept! {
    static WITH_SETTINGS: OwnStatement = OwnStatement::new(
        "select n.integration_id from lockstep_internal.slack_notification n where n.schema = $1 and n.integration_id = any ($2)",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
    );
}

/// Lists the encrypted properties of the Slack app's integrations.
#[pg_extern(sql = r#"
create function lockstep.list_integration_properties(after bigint default 0, most integer default 1000, schema text default 'public')
returns table (integration_id bigint, properties bytea, iv bytea, has_settings boolean)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.list_integration_properties(bigint, integer, text) is
  'the Slack app''s integrations with a higher id that inherit from no other, with their encrypted properties, and whether they have settings of their own';
revoke execute on function lockstep.list_integration_properties(bigint, integer, text) from public;
grant execute on function lockstep.list_integration_properties(bigint, integer, text) to lockstep_admin;
"#)]
#[allow(clippy::type_complexity)]
fn list_integration_properties(
    after: Option<i64>,
    most: Option<i32>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(integration_id, i64),
        name!(properties, Vec<u8>),
        name!(iv, Option<Vec<u8>>),
        name!(has_settings, bool),
    ),
> {
    let after = required(after, "after");
    let most = required(most, "most");
    let schema = required(schema, "schema");
    TableIterator::new(list(after, most, schema).or_raise())
}

fn list(after: i64, most: i32, schema: &str) -> Result<Vec<Properties>> {
    check_max_rows(most)?;
    let tables = Tables::attached(schema)?;
    let i = &tables.integrations;
    let column = |name| {
        i.find_column(name)
            .map(|column| format!("i.{}", column.quoted()))
    };
    let Some(properties) = column("encrypted_properties") else {
        return Ok(Vec::new());
    };
    let iv = column("encrypted_properties_iv");
    // The application copies inherited properties to the integrations that inherit them.
    let inherits = column("inherit_from_id").unwrap_or_else(|| "null".to_owned());
    let query = Statement::planned_anew(
        &qualified(&format!(
            "select i.id::pg_catalog.int8, {properties}::pg_catalog.bytea, {}::pg_catalog.bytea from {} i
              where i.type_new == $2 and i.id operator(pg_catalog.>) $1 and {properties} is not null and {inherits} is null order by i.id limit $3",
            iv.as_deref().unwrap_or("null"),
            i.qualified_name()
        )),
        &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::INT4OID],
    );
    let mut found: Vec<Properties> = Vec::new();
    tables.as_owner(|| {
        query.rows(View::Own, &[datum(after), class(), datum(most)], |row| {
            found.extend(
                row.get(1)
                    .zip(row.get(2))
                    .map(|(id, properties)| (id, properties, row.get(3), false)),
            );
        });
    });
    let ids: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
    let mut with_settings = BTreeSet::new();
    let arguments = [datum(schema), keys_argument(&ids)];
    WITH_SETTINGS.with(|statement| {
        statement.rows(&arguments, |row| with_settings.extend(row.get::<i64>(1)))
    })?;
    for (id, _, _, has_settings) in &mut found {
        *has_settings = with_settings.contains(id);
    }
    Ok(found)
}
