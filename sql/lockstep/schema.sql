-- The schema is created here, without "if not exists": a schema that somebody else prepared is not accepted.
create schema lockstep;
comment on schema lockstep is 'keeps derived columns in lockstep with the rows they are derived from';
grant usage on schema lockstep to public;

-- Owns everything in the schema, and may do nothing else but watch the server. Roles belong to all databases of a server, so it may
-- be there already, and another database may be making it right now.
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
      detail = 'Tables and functions of the extension belong to a role that cannot log in and has no attribute of its own.',
      hint = 'Rename the role, or: alter role lockstep_owner nosuperuser nologin nocreaterole nocreatedb noreplication nobypassrls.';
  end if;
end
$$;
grant pg_monitor to lockstep_owner;
