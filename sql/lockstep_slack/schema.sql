select pg_catalog.set_config('lockstep_script.installing', 'lockstep_slack', true);

-- Default privileges of the role that creates the extension must not apply to its objects. They are put aside, and set again at the
-- end, by ownership.sql.
do $$
declare
  found record;
begin
  perform pg_catalog.set_config('lockstep_script.default_privileges', coalesce(pg_catalog.jsonb_object_agg(d.defaclobjtype, d.defaclacl::text), '{}')::text, true)
     from pg_catalog.pg_default_acl d
    where d.defaclrole operator(pg_catalog.=) (select r.oid from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) current_user) and d.defaclnamespace operator(pg_catalog.=) 0
      and d.defaclobjtype operator(pg_catalog.=) any ('{r,S,f,T,n}');
  for found in
    select k.kinds, k.grantees as usual, pg_catalog.string_agg(distinct case a.grantee when 0 then 'public' else a.grantee::pg_catalog.regrole::text end, ', ') as given
      from (values ('r', 'tables', 'current_user'), ('S', 'sequences', 'current_user'), ('f', 'functions', 'current_user, public'),
                   ('T', 'types', 'current_user, public'), ('n', 'schemas', 'current_user')) as k (kind, kinds, grantees)
      join pg_catalog.pg_default_acl d on d.defaclobjtype::text operator(pg_catalog.=) k.kind
      left join lateral pg_catalog.aclexplode(d.defaclacl) a on true
     where d.defaclrole operator(pg_catalog.=) (select r.oid from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) current_user) and d.defaclnamespace operator(pg_catalog.=) 0
     group by k.kinds, k.grantees
  loop
    if found.given is not null then
      execute pg_catalog.format('alter default privileges revoke all on %s from %s', found.kinds, found.given);
    end if;
    execute pg_catalog.format('alter default privileges grant all on %s to %s', found.kinds, found.usual);
  end loop;
end
$$;

-- As with those of lockstep, one that exists already is not accepted.
create schema lockstep_api;
comment on schema lockstep_api is 'what the sidecar calls, and nobody else';

-- The database that owns the deliveries: as with jobs, a copy must not send what its original sends.
create table lockstep_internal.slack_home (
  database oid not null
);
comment on table lockstep_internal.slack_home is
  'the database that owns deliveries and tokens: those of another database are held; see lockstep.release_restored_slack and lockstep.discard_restored_slack';
-- A publication of all tables includes this one.
alter table lockstep_internal.slack_home replica identity full;
insert into lockstep_internal.slack_home (database)
select d.oid from pg_catalog.pg_database d where d.datname operator(pg_catalog.=) pg_catalog.current_database();
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_home', '');
