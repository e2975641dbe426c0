//! The contents of an installed extension as text: equal texts mean equal schemas.

use anyhow::Result;
use postgres::Client;

/// One line per object and property, in an order that does not depend on creation order. Column positions are compared by rank,
/// because a dropped column leaves a gap; OIDs are not compared.
const DESCRIBE: &str = r#"
with member as (
  select d.classid, d.objid from pg_depend d join pg_extension e on e.oid = d.refobjid
  where e.extname = 'lockstep' and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
)
select coalesce(string_agg(replace(line, e'\n', ' '), e'\n' order by line collate "C"), '') from (
  select format('member %s', pg_describe_object(classid, objid, 0)) from member
  union all
  select format('function %s owner %s acl %s support %s: %s', p.oid::regprocedure, p.proowner::regrole, p.proacl, p.prosupport,
                pg_get_functiondef(p.oid))
  from pg_proc p where p.pronamespace::regnamespace::text ~ '^lockstep'
  union all
  select format('relation %s kind %s owner %s acl %s options %s persistence %s', c.oid::regclass, c.relkind, c.relowner::regrole,
                c.relacl, c.reloptions, c.relpersistence)
  from pg_class c where c.relnamespace::regnamespace::text ~ '^lockstep'
  union all
  select format('column %s.%s place %s type %s null %s default %s identity %s generated %s acl %s collation %s', c.oid::regclass, a.attname,
                row_number() over (partition by c.oid order by a.attnum), format_type(a.atttypid, a.atttypmod), not a.attnotnull,
                pg_get_expr(f.adbin, f.adrelid), a.attidentity, a.attgenerated, a.attacl, a.attcollation::regcollation)
  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
  where c.relnamespace::regnamespace::text ~ '^lockstep'
  union all
  select format('constraint %s on %s: %s', n.conname, n.conrelid::regclass, pg_get_constraintdef(n.oid))
  from pg_constraint n where n.connamespace::regnamespace::text ~ '^lockstep'
  union all
  select format('index %s', pg_get_indexdef(i.indexrelid)) from pg_index i join pg_class c on c.oid = i.indexrelid
  where c.relnamespace::regnamespace::text ~ '^lockstep'
  union all
  select format('view %s: %s', c.oid::regclass, pg_get_viewdef(c.oid)) from pg_class c
  where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relkind = 'v'
  union all
  select format('sequence %s: %s', s.seqrelid::regclass, to_jsonb(s) - 'seqrelid') from pg_sequence s join pg_class c on c.oid = s.seqrelid
  where c.relnamespace::regnamespace::text ~ '^lockstep'
  union all
  select format('trigger %s', pg_get_triggerdef(t.oid)) from pg_trigger t join pg_class c on c.oid = t.tgrelid
  where c.relnamespace::regnamespace::text ~ '^lockstep' and not t.tgisinternal
  union all
  select format('type %s kind %s', t.oid::regtype, t.typtype) from pg_type t where t.typnamespace::regnamespace::text ~ '^lockstep'
  union all
  select format('comment on %s: %s', pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description)
  from pg_description d join member m on m.classid = d.classoid and m.objid = d.objoid
  union all
  select format('schema %s owner %s acl %s', n.nspname, n.nspowner::regrole, n.nspacl) from pg_namespace n where n.nspname ~ '^lockstep'
  union all
  select format('dumped %s where %s', c.tab::regclass, c.condition)
  from pg_extension e cross join lateral unnest(e.extconfig, e.extcondition) as c (tab, condition) where e.extname = 'lockstep'
) as lines (line)"#;

/// The extension's schema in a database, including its comment.
pub(crate) fn describe(client: &mut Client) -> Result<String> {
    Ok(client.query_one(DESCRIBE, &[])?.get(0))
}

/// The lines that only one of two descriptions has.
pub(crate) fn differences(fresh: &str, upgraded: &str) -> Vec<String> {
    let only = |these: &str, those: &str, sign: char| -> Vec<String> {
        these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line))
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    [only(fresh, upgraded, '-'), only(upgraded, fresh, '+')].concat()
}
