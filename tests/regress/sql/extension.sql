-- What CREATE EXTENSION installs for both extensions. Everything is in the schema lockstep; every public object has a comment.
select extname, nspname as schema_of_creation from pg_extension e join pg_namespace n on n.oid = e.extnamespace where extname ~ '^lockstep' order by extname;

select (select e.extname from pg_depend d join pg_extension e on e.oid = d.refobjid where d.objid = p.oid and d.deptype = 'e') as of,
       p.pronamespace::regnamespace as schema, p.proname as function, pg_get_function_identity_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result
from pg_proc p
where p.pronamespace::regnamespace::text ~ '^lockstep'
order by p.pronamespace::regnamespace::text collate "C", p.proname collate "C", pg_get_function_identity_arguments(p.oid) collate "C";

select c.relnamespace::regnamespace as schema, c.relname as relation, c.relkind as kind, array_to_string(array_agg(a.attname order by a.attnum), ' ') as columns
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relkind in ('r', 'v')
group by c.oid
order by c.relnamespace::regnamespace::text collate "C", c.relname collate "C";

select objoid::regprocedure as without_comment from (
  select p.oid as objoid from pg_proc p where p.pronamespace::regnamespace::text ~ '^lockstep'
) f where obj_description(objoid, 'pg_proc') is null;
select relname as without_comment from pg_class c
where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relkind in ('r', 'v') and obj_description(c.oid, 'pg_class') is null;
