//! Each function and relation is in the schema of those who use it: people and applications lockstep, the sidecar alone lockstep_api,
//! nobody lockstep_internal. Who uses it is who may.

use anyhow::{Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database::with_slack;

const PEOPLE: [&str; 3] = ["public", "lockstep_admin", "lockstep_app"];
const NETWORK: [&str; 2] = ["lockstep_sidecar", "lockstep_chatops"];

struct Function {
    schema: String,
    name: String,
    is_trigger: bool,
    comment: String,
    callers: Vec<String>,
}

fn functions(client: &mut Client) -> Result<Vec<Function>> {
    let rows = client.query(
        "select p.pronamespace::regnamespace::text, p.oid::regprocedure::text, p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype),
                coalesce(obj_description(p.oid, 'pg_proc'), ''),
                array(select case a.grantee when 0 then 'public' else a.grantee::regrole::text end
                        from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee <> p.proowner order by 1)
           from pg_proc p where p.pronamespace::regnamespace::text ~ '^lockstep' order by 2",
        &[],
    )?;
    let functions = rows.iter().map(|row| Function {
        schema: row.get(0),
        name: row.get(1),
        is_trigger: row.get(2),
        comment: row.get(3),
        callers: row.get(4),
    });
    Ok(functions.collect())
}

impl Function {
    fn is_for(&self, roles: &[&str]) -> bool {
        self.callers
            .iter()
            .any(|caller| roles.contains(&caller.as_str()))
    }

    /// What a view or function runs with the rights of whoever reads or calls it, who therefore may; it names the one to use instead.
    fn is_part(&self, client: &mut Client) -> Result<bool> {
        let Some(whole) = self.comment.strip_prefix("part of lockstep.") else {
            return Ok(false);
        };
        let end = whole.find(|letter: char| !(letter.is_ascii_lowercase() || letter == '_'));
        let whole = &whole[..end.unwrap_or(whole.len())];
        let query = "select exists (select from pg_proc where pronamespace = 'lockstep'::regnamespace and proname = $1::text)
                         or exists (select from pg_class where relnamespace = 'lockstep'::regnamespace and relname = $1::text)";
        Ok(client.query_one(query, &[&whole])?.get(0))
    }

    /// Whether those who may call it are those whom its schema is for.
    fn is_in_place(&self, client: &mut Client) -> Result<bool> {
        Ok(match self.schema.as_str() {
            "lockstep" => self.is_for(&PEOPLE) && !self.is_trigger,
            "lockstep_api" => self.is_for(&NETWORK) && !self.is_for(&PEOPLE) && !self.is_trigger,
            "lockstep_internal" => match self.callers.as_slice() {
                [] => true,
                [caller] if caller == "public" => self.is_trigger || self.is_part(client)?,
                _ => false,
            },
            _ => false,
        })
    }
}

#[test]
fn functions_are_in_the_schema_of_their_callers() -> Result<()> {
    let mut client = with_slack("schemas_functions", Layout::Narrow)?;
    let functions = functions(&mut client)?;
    ensure!(functions.len() > 100, "only {} functions", functions.len());
    let mut misplaced = Vec::new();
    for function in &functions {
        if !function.is_in_place(&mut client)? {
            misplaced.push(format!("{} for {:?}", function.name, function.callers));
        }
    }
    ensure!(misplaced.is_empty(), "{}", misplaced.join("\n"));
    Ok(())
}

#[test]
fn relations_are_in_the_schema_of_their_readers() -> Result<()> {
    let mut client = with_slack("schemas_relations", Layout::Narrow)?;
    // The owner of the database dumps the tables.
    let misplaced = "
        select coalesce(string_agg(c.oid::regclass::text, ' '), '')
          from pg_class c
          cross join lateral (
            select exists (select from aclexplode(c.relacl) a
                            where a.grantee not in (c.relowner, 'pg_database_owner'::regrole))) as r (has_readers)
         where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relkind in ('r', 'v', 'p', 'm', 'f')
           and c.relnamespace::regnamespace::text <> case when r.has_readers then 'lockstep' else 'lockstep_internal' end";
    let misplaced: String = client.query_one(misplaced, &[])?.get(0);
    ensure!(misplaced.is_empty(), "{misplaced}");
    // Tables and views have row types, which are members since PostgreSQL 17; nothing else of the extensions is a type, an operator or a
    // sequence of its own.
    let others = "
        select coalesce(string_agg(pg_describe_object(d.classid, d.objid, 0), ', '), '')
          from pg_depend d join pg_extension e on e.oid = d.refobjid and d.refclassid = 'pg_extension'::regclass
         where e.extname ~ '^lockstep' and d.deptype = 'e'
           and d.classid not in ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass, 'pg_event_trigger'::regclass)
           and not exists (select from pg_type t left join pg_type o on o.oid = t.typelem
                            where d.classid = 'pg_type'::regclass and t.oid = d.objid and (t.typrelid <> 0 or o.typrelid <> 0))";
    let others: String = client.query_one(others, &[])?.get(0);
    ensure!(others.is_empty(), "{others}");
    Ok(())
}

/// Everybody may look names up where the owner of a table finds the functions of its triggers; the sidecar's schema is the sidecar's.
#[test]
fn schemas_are_open_to_those_they_are_for() -> Result<()> {
    let mut client = with_slack("schemas_usage", Layout::Narrow)?;
    let rows = client.query(
        "select n.nspname || ': ' || string_agg(
                  case a.grantee when 0 then 'public' else a.grantee::regrole::text end || ' ' || lower(a.privilege_type), ', '
                  order by a.grantee::regrole::text collate \"C\", a.privilege_type)
           from pg_namespace n cross join lateral aclexplode(n.nspacl) a
          where n.nspname ~ '^lockstep' and n.nspowner = 'lockstep_owner'::regrole and a.grantee <> n.nspowner
          group by n.nspname order by n.nspname collate \"C\"",
        &[],
    )?;
    let open: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(
        open,
        [
            "lockstep: public usage",
            "lockstep_api: lockstep_chatops usage, lockstep_sidecar usage",
            "lockstep_internal: public usage",
        ]
    );
    Ok(())
}
