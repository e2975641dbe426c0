select pg_catalog.set_config('lockstep_script.installing', 'lockstep', true);

-- Texts are read and compared as UTF-8 everywhere.
do $$
begin
  if pg_catalog.getdatabaseencoding() operator(pg_catalog.<>) 'UTF8' then
    raise exception using
      errcode = 'feature_not_supported',
      message = pg_catalog.format('lockstep needs a database of encoding UTF8, not %s', pg_catalog.getdatabaseencoding()),
      detail = 'GitLab''s texts are UTF-8.',
      hint = 'Create the database with: create database ... encoding ''UTF8'' template template0.';
  end if;
end
$$;

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

-- Created without "if not exists": a schema that somebody else prepared is not accepted.
create schema lockstep;
comment on schema lockstep is 'keeps derived columns consistent with the rows they are derived from: what people and applications call and read';
grant usage on schema lockstep to public;
create schema lockstep_internal;
comment on schema lockstep_internal is 'tables, trigger functions and steps of lockstep; call and read what is in schema lockstep instead';
-- The owner of a table creates its triggers, and whoever restores a dump does; both have to find the functions of these. What a role
-- may do with them, their own grants say.
grant usage on schema lockstep_internal to public;

-- Owns everything in the schema, and may do nothing else except monitor the server. Roles are shared by all databases of a
-- server, so it may already exist, and another database may be creating it right now.
do $$
begin
  if not exists (select from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) 'lockstep_owner') then
    create role lockstep_owner nologin;
  end if;
exception when duplicate_object or unique_violation then
  null;
end
$$;
do $$
begin
  if exists (select from pg_catalog.pg_roles r
              where r.rolname operator(pg_catalog.=) 'lockstep_owner'
                and (r.rolsuper or r.rolcanlogin or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls)) then
    raise exception using
      errcode = 'invalid_role_specification',
      message = 'role "lockstep_owner" exists and may do more than own the tables of lockstep',
      detail = 'Tables and functions of the extension belong to a role that cannot log in and has no attributes.',
      hint = 'Rename the role, or: alter role lockstep_owner nosuperuser nologin nocreaterole nocreatedb noreplication nobypassrls.';
  end if;
  -- Its members could change everyone's rows in the extension's tables.
  if exists (select from pg_catalog.pg_auth_members m
              where m.roleid operator(pg_catalog.=) 'lockstep_owner'::pg_catalog.regrole
                 or m.member operator(pg_catalog.=) 'lockstep_owner'::pg_catalog.regrole
                    and m.roleid operator(pg_catalog.<>) 'pg_monitor'::pg_catalog.regrole) then
    raise exception using
      errcode = 'invalid_role_specification',
      message = 'role "lockstep_owner" is a member of other roles, or has members',
      detail = 'It may only be a member of pg_monitor, and must have no members.',
      hint = 'Rename the role, or revoke its memberships.';
  end if;
end
$$;
do $$
begin
  grant pg_monitor to lockstep_owner;
exception when unique_violation then
  null;
end
$$;

-- Roles for people and for the application; each function says which of them may call it. They may already exist as well.
do $$
declare
  name text;
begin
  foreach name in array array['lockstep_admin', 'lockstep_app'] loop
    begin
      if not exists (select from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) name) then
        execute pg_catalog.format('create role %I nologin', name);
      end if;
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
end
$$;

-- A copy of a database must not run the jobs of its original. This table detects that: a dump adds a second row, and in a
-- database created from a template the row names the template.
create table lockstep_internal.home (
  database oid not null
);
comment on table lockstep_internal.home is
  'the database that owns the jobs: those of another database are held; see lockstep.release_restored and lockstep.discard_restored';
-- A publication of all tables includes this one.
alter table lockstep_internal.home replica identity full;
insert into lockstep_internal.home (database)
select d.oid from pg_catalog.pg_database d where d.datname operator(pg_catalog.=) pg_catalog.current_database();
select pg_catalog.pg_extension_config_dump('lockstep_internal.home', '');
