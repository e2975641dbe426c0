//! Default privileges of the role that creates the extensions: their objects have the same privileges as without any, and the
//! defaults are the same afterwards.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use postgres::Client;

use crate::database::empty;

/// Everything in the extensions' schemas that has privileges, the schemas themselves included.
const PRIVILEGES: &str = "
select o.kind || ' ' || o.object || ' ' || coalesce((select string_agg(a::text, ',' order by a::text) from unnest(o.acl) a), 'as usual')
  from (select 'schema', n.nspname::text, n.nspacl from pg_namespace n where n.nspname ~ '^lockstep'
        union all select 'relation', c.oid::regclass::text, c.relacl from pg_class c where c.relnamespace::regnamespace::text ~ '^lockstep'
        union all select 'function', p.oid::regprocedure::text, p.proacl from pg_proc p where p.pronamespace::regnamespace::text ~ '^lockstep'
        union all select 'type', t.oid::regtype::text, t.typacl from pg_type t where t.typnamespace::regnamespace::text ~ '^lockstep')
       as o (kind, object, acl)";

const DEFAULTS: &str = "select d.defaclobjtype::text || ' ' || a::text from pg_default_acl d cross join lateral unnest(d.defaclacl) a";

fn lines(client: &mut Client, query: &str) -> Result<BTreeSet<String>> {
    let rows = client.query(query, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[test]
fn privileges_by_default_do_not_reach_the_extensions() -> Result<()> {
    let mut client = empty("privilege_defaults")?;
    client.batch_execute("create role \"Odd, reader\"")?;
    client.batch_execute("begin; create extension lockstep_slack cascade")?;
    let usual = lines(&mut client, PRIVILEGES)?;
    client.batch_execute("rollback")?;
    for defaults in [
        // What a guide to hardening says.
        "alter default privileges revoke execute on functions from public; alter default privileges revoke usage on types from public",
        "alter default privileges grant all on tables to public; alter default privileges grant all on sequences to public;
         alter default privileges grant all on schemas to public; alter default privileges grant all on functions to public",
        "alter default privileges grant select on tables to \"Odd, reader\" with grant option;
         alter default privileges grant usage on schemas to \"Odd, reader\"; alter default privileges grant execute on functions to \"Odd, reader\"",
        "alter default privileges revoke all on tables from current_user; alter default privileges revoke all on functions from current_user, public",
    ] {
        client.batch_execute(&format!("begin; {defaults}"))?;
        let set = lines(&mut client, DEFAULTS)?;
        client.batch_execute("create extension lockstep; create extension lockstep_slack")?;
        let found = lines(&mut client, PRIVILEGES)?;
        let different: Vec<&String> = found.symmetric_difference(&usual).collect();
        ensure!(different.is_empty(), "{defaults}: {different:?}");
        assert_eq!(lines(&mut client, DEFAULTS)?, set, "{defaults}");
        client.batch_execute("rollback")?;
    }
    Ok(())
}
