-- Everything in the schema goes over to the unprivileged role. Each object that has grants is granted once more, which changes nothing
-- but has PostgreSQL note them as those that the extension came with: a dump leaves out what is so noted.
do $$
declare
  found record;
begin
  for found in
    select d.classid, d.objid, i.type, i.identity,
           coalesce(c.relacl, p.proacl, n.nspacl) is not null as has_grants,
           case when c.oid is not null then 'table' else i.type end as grantable
      from pg_catalog.pg_depend d
      cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, 0) i
      left join pg_catalog.pg_class c on d.classid operator(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid operator(pg_catalog.=) d.objid
      left join pg_catalog.pg_proc p on d.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid operator(pg_catalog.=) d.objid
      left join pg_catalog.pg_namespace n on d.classid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass and n.oid operator(pg_catalog.=) d.objid
     where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
       and d.refobjid operator(pg_catalog.=) (select e.oid from pg_catalog.pg_extension e where e.extname operator(pg_catalog.=) 'lockstep')
       and d.deptype operator(pg_catalog.=) 'e'
       and i.type operator(pg_catalog.=) any (array['schema', 'table', 'view', 'function', 'procedure'])
     order by i.type operator(pg_catalog.=) 'schema'
  loop
    execute pg_catalog.format('alter %s %s owner to lockstep_owner', found.type, found.identity);
    if found.has_grants then
      execute pg_catalog.format('grant all on %s %s to lockstep_owner', found.grantable, found.identity);
    end if;
  end loop;
end
$$;
