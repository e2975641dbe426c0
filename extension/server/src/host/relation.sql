-- All that the catalogs say about a table, as one jsonb text; `Relation` reads it.
select jsonb_build_object(
  'oid', c.oid::bigint, 'owner', c.relowner::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind::text,
  'persistence', c.relpersistence::text,
  'is_of_extension', exists (
    select from pg_depend d
     where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 and d.deptype = 'e'),
  'rewrites_updates', exists (
    select from pg_trigger g
     where g.tgrelid = any (parts.oids) and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 19 = 19),
  'is_heap', coalesce((select m.amname = 'heap' from pg_am m where m.oid = c.relam), false),
  'ancestors', (select coalesce(jsonb_agg(a.relid::oid::bigint), jsonb_build_array(c.oid::bigint))
                  from pg_partition_ancestors(c.oid) a),
  'partitions', (select coalesce(jsonb_agg(jsonb_build_object('oid', p.oid::bigint, 'owner', p.relowner::bigint,
      'name', format('%I.%I', pn.nspname, p.relname), 'is_partitioned', p.relkind = 'p') order by p.oid), '[]')
    from pg_class p join pg_namespace pn on pn.oid = p.relnamespace where p.oid = any (parts.oids)),
  'has_inheritance_children', c.relkind = 'r' and exists (select from pg_inherits h where h.inhparent = c.oid),
  'columns', (select coalesce(jsonb_agg(jsonb_build_object(
      'number', a.attnum, 'name', a.attname, 'type_oid', a.atttypid::bigint, 'collation', a.attcollation::bigint,
      'by_value', t.typbyval, 'length', t.typlen,
      'type_name', format_type(t.oid, -1), 'category', t.typcategory::text, 'is_enum', t.typtype = 'e',
      'is_generated', a.attgenerated <> '')), '[]')
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'primary_key', (select coalesce(jsonb_agg(a.attname order by k.place), '[]')
    from pg_index i cross join lateral unnest(i.indkey::smallint[]) with ordinality k(attnum, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = c.oid and i.indisprimary and k.place <= i.indnkeyatts),
  'indexed', (select coalesce(jsonb_agg(distinct a.attname), '[]')
    from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_am m on m.oid = ic.relam
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = c.oid and i.indisvalid and i.indpred is null and m.amname = 'btree'),
  'foreign_keys', (select coalesce(jsonb_agg(jsonb_build_object(
      'column', a.attname, 'target', f.confrelid::bigint, 'target_column', ta.attname,
      'waits_on_delete', f.confdeltype = 'a', 'follows_update', f.confupdtype in ('r', 'c'))), '[]')
    from pg_constraint f
    join pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
    join pg_attribute ta on ta.attrelid = f.confrelid and ta.attnum = f.confkey[1]
    where f.conrelid = c.oid and f.contype = 'f' and f.convalidated and not f.condeferrable
      and cardinality(f.conkey) = 1),
  'triggers', (select coalesce(jsonb_agg(jsonb_build_object('name', g.tgname, 'enabled', g.tgenabled <> 'D', 'function', o.proname,
      'rewrites_updates', g.tgenabled <> 'D' and g.tgtype & 19 = 19)
    order by g.tgname), '[]')
    from pg_trigger g left join (pg_proc o join pg_namespace os on os.oid = o.pronamespace and os.nspname = 'lockstep_internal') on o.oid = g.tgfoid
    where g.tgrelid = c.oid and not g.tgisinternal))::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
  -- Not pg_partition_tree, which locks them; a partition that is being detached concurrently is none any more.
  with recursive below (oid) as (
    select h.inhrelid from pg_inherits h where h.inhparent = c.oid and c.relkind = 'p' and not coalesce((to_jsonb(h)->>'inhdetachpending')::boolean, false)
    union all
    select h.inhrelid from below b join pg_inherits h on h.inhparent = b.oid and not coalesce((to_jsonb(h)->>'inhdetachpending')::boolean, false)
  ) select coalesce(array_agg(b.oid), '{}') from below b
) as parts (oids)
where c.oid = $1
