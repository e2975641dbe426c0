//! Which schemas are audited: those whose tables have the triggers of [`audit`](mod@super::audit), under any name.

use super::tables::{FEATURES, GATES, Tables};
use crate::error::{FeatureError, Result};
use lockstep_server::{Statement, View, connected, datum, with_catalog_path};
use pgrx::pg_sys;

/// Both triggers that `attach` creates are enabled: row triggers after insert, update and delete (29), statement triggers after
/// truncate (32), both without a condition.
const ARE_RECORDED: &str = "
select n.nspname::text from pg_namespace n
  join pg_class f on f.relnamespace = n.oid and f.relname = $2 and f.relkind in ('r', 'p')
  join pg_class g on g.relnamespace = n.oid and g.relname = $3 and g.relkind in ('r', 'p') and g.relowner = f.relowner
 where ($1 = '' or n.nspname = $1)
   and (select count(distinct (t.tgrelid, t.tgtype)) from pg_trigger t
         where t.tgrelid in (f.oid, g.oid) and t.tgfoid = 'lockstep_internal.audit_feature()'::regprocedure
           and t.tgtype in (29, 32) and t.tgenabled in ('O', 'A') and t.tgqual is null and t.tgattr::text = '') = 4";

/// Of these, the schemas whose flags the caller may read completely.
const MAY_READ: &str = "
   and has_schema_privilege(n.oid, 'usage') and has_table_privilege(f.oid, 'select') and has_table_privilege(g.oid, 'select')
   and not row_security_active(f.oid) and not row_security_active(g.oid)";

fn schemas(schema: &str, condition: &str) -> Vec<String> {
    let query = Statement::new(
        &format!("{ARE_RECORDED} {condition} order by n.nspname"),
        &[pg_sys::TEXTOID; 3],
    );
    let arguments = [schema, FEATURES, GATES].map(datum);
    let mut schemas = Vec::new();
    with_catalog_path(|| {
        connected(|| {
            query.rows(View::NewestReadOnly, &arguments, |row| {
                schemas.extend(row.get::<String>(1));
            })
        })
    });
    schemas
}

/// The schemas whose flags the caller may read.
pub(super) fn schemas_of_caller() -> Vec<String> {
    schemas("", MAY_READ)
}

/// This schema, if its flag changes are audited.
pub(super) fn schema_alone(schema: &str) -> Vec<String> {
    schemas(schema, "")
}

/// Flags may only be changed where changes are audited.
pub(super) fn check_is_recorded(tables: &Tables) -> Result<()> {
    let schema = tables.features.schema();
    match schema_alone(schema).is_empty() {
        false => Ok(()),
        true => Err(FeatureError::NotAudited {
            schema: schema.to_owned(),
        }
        .into()),
    }
}
