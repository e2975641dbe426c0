-- Transfers everything in the extension to the unprivileged role. The script's first file has set which extension that is.
-- Objects with grants are granted again, which changes nothing but makes PostgreSQL record the grants as the extension's initial
-- ones, which a dump leaves out.
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
       and d.refobjid operator(pg_catalog.=) (select e.oid from pg_catalog.pg_extension e where e.extname operator(pg_catalog.=) pg_catalog.current_setting('lockstep_script.installing'))
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

-- The default privileges that the first file has put aside.
do $$
declare
  found record;
  given record;
begin
  for found in
    select k.kinds, k.grantees, case when d.acl operator(pg_catalog.<>) '{}' then d.acl::aclitem[] end as acl
      from pg_catalog.jsonb_each_text(pg_catalog.current_setting('lockstep_script.default_privileges')::jsonb) as d (kind, acl)
      join (values ('r', 'tables', 'current_user'), ('S', 'sequences', 'current_user'), ('f', 'functions', 'current_user, public'),
                   ('T', 'types', 'current_user, public'), ('n', 'schemas', 'current_user')) as k (kind, kinds, grantees)
        on k.kind operator(pg_catalog.=) d.kind
  loop
    execute pg_catalog.format('alter default privileges revoke all on %s from %s', found.kinds, found.grantees);
    for given in
      select a.privilege_type, case a.grantee when 0 then 'public' else a.grantee::pg_catalog.regrole::text end as grantee,
             case when a.is_grantable then 'with grant option' end as suffix
        from pg_catalog.aclexplode(found.acl) a
    loop
      execute pg_catalog.format('alter default privileges grant %s on %s to %s %s', given.privilege_type, found.kinds, given.grantee, given.suffix);
    end loop;
  end loop;
end
$$;

-- The owner of the database dumps and restores it: the rows of dumped tables and the sequences. lockstep_internal.check_restored checks
-- what is restored.
do $$
declare
  found record;
  -- From PostgreSQL 14 on.
  owner constant text := coalesce(
    (select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) 'pg_database_owner'),
    (select pg_catalog.quote_ident(r.rolname) from pg_catalog.pg_database d join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) d.datdba
      where d.datname operator(pg_catalog.=) pg_catalog.current_database()));
begin
  for found in
    select c.relkind, c.oid::pg_catalog.regclass as name
      from pg_catalog.pg_extension e
      cross join lateral pg_catalog.unnest(e.extconfig) as dumped (oid)
      join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) dumped.oid
     where e.extname operator(pg_catalog.=) pg_catalog.current_setting('lockstep_script.installing')
  loop
    if found.relkind operator(pg_catalog.=) 'S' then
      execute pg_catalog.format('grant select, update on sequence %s to %s', found.name, owner);
    else
      execute pg_catalog.format('grant select, insert on %s to %s', found.name, owner);
    end if;
  end loop;
  for found in
    select p.oid::pg_catalog.regprocedure as function
      from pg_catalog.pg_depend d join pg_catalog.pg_proc p on p.oid operator(pg_catalog.=) d.objid
     where d.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
       and d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
       and d.refobjid operator(pg_catalog.=) (select e.oid from pg_catalog.pg_extension e where e.extname operator(pg_catalog.=) pg_catalog.current_setting('lockstep_script.installing'))
       and d.deptype operator(pg_catalog.=) 'e'
       and p.proname operator(pg_catalog.~) '^((release|discard)_restored|sweep|set_retention$)'
  loop
    execute pg_catalog.format('grant execute on function %s to %s', found.function, owner);
  end loop;
  -- The owner of a database must be able to restore a dump without errors, and may not comment on someone else's extension.
  execute pg_catalog.format('comment on extension %I is null', pg_catalog.current_setting('lockstep_script.installing'));
end
$$;
