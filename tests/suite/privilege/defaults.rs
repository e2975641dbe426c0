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

/// Beside the usual one, a name that only quotes make a name of.
const CREATORS: [&str; 2] = ["postgres", "Odd, admin"];

#[test]
fn privileges_by_default_do_not_reach_the_extensions() -> Result<()> {
    let mut client = empty("privilege_defaults")?;
    client.batch_execute("create role \"Odd, reader\"; create role \"Odd, admin\" superuser")?;
    for creator in CREATORS {
        client.batch_execute(&format!("set session authorization \"{creator}\""))?;
        by_default(&mut client)?;
        client.batch_execute("reset session authorization")?;
    }
    Ok(())
}

fn by_default(client: &mut Client) -> Result<()> {
    client.batch_execute("begin; create extension lockstep_slack cascade")?;
    let usual = lines(client, PRIVILEGES)?;
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
        let set = lines(client, DEFAULTS)?;
        client.batch_execute("create extension lockstep; create extension lockstep_slack")?;
        let found = lines(client, PRIVILEGES)?;
        let different: Vec<&String> = found.symmetric_difference(&usual).collect();
        ensure!(different.is_empty(), "{defaults}: {different:?}");
        assert_eq!(lines(client, DEFAULTS)?, set, "{defaults}");
        client.batch_execute("rollback")?;
    }
    Ok(())
}

/// Both extensions put them aside, each in its first file.
#[test]
fn both_extensions_put_the_same_aside() {
    let block = |script: &str| {
        let from = script.find("-- Default privileges").unwrap_or_default();
        let to = script[from..].find("$$;").unwrap_or_default();
        script[from..from + to].to_owned()
    };
    let core = block(include_str!("../../../sql/lockstep/schema.sql"));
    let slack = block(include_str!("../../../sql/lockstep_slack/schema.sql"));
    assert!(core.contains("pg_default_acl"), "{core}");
    assert_eq!(core, slack);
}
