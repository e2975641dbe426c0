-- What the application declares in files: the default of a flag that has no row.
create table lockstep.feature_definition (
  name text not null
    constraint feature_definition_pkey primary key
    constraint feature_definition_name_check check (name <> '' and pg_catalog.length(name) <= 255),
  default_enabled boolean not null,
  type text not null
    constraint feature_definition_type_check
      check (type in ('gitlab_com_derisk', 'wip', 'beta', 'ops', 'experiment', 'worker', 'development')),
  is_built_in boolean not null default false,
  -- The owning group, such as group::integrations.
  "group" text
    constraint feature_definition_group_check check ("group" <> ''),
  constraint feature_definition_check check (not default_enabled or type not in ('gitlab_com_derisk', 'wip', 'experiment'))
);
comment on table lockstep.feature_definition is 'feature flags with their defaults; written by lockstep.define_feature alone';
select pg_catalog.pg_extension_config_dump('lockstep.feature_definition', 'where not is_built_in');
grant select on lockstep.feature_definition to public;
insert into lockstep.feature_definition (name, default_enabled, type, is_built_in, "group")
values ('rename_integrations_workers', false, 'development', true, 'group::integrations');

create table lockstep.feature_group (
  name text not null
    constraint feature_group_pkey primary key
    constraint feature_group_name_check check (name <> '' and pg_catalog.length(name) <= 255),
  -- Names, as in a dump: if a function or role is missing where it is restored, only this row is lost.
  function text not null,
  owner text not null
);
comment on table lockstep.feature_group is 'groups of actors, each a function that says who is in it; written by lockstep.register_feature_group alone';
select pg_catalog.pg_extension_config_dump('lockstep.feature_group', '');
grant select on lockstep.feature_group to public;

-- The same conditions as those under which a group is asked.
create view lockstep.feature_group_status as
select g.name, g.function, g.owner as registered_by, p.proowner::regrole as runs_as,
       case
         when p.oid is null then 'function missing'
         when pg_catalog.to_regrole(g.owner) is null then 'role that registered it missing'
         when not pg_catalog.pg_has_role(pg_catalog.to_regrole(g.owner)::oid, p.proowner, 'usage')
           then 'role that registered it lacks the rights of the function''s owner'
         else 'active'
       end as state
  from lockstep.feature_group g
  left join (pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace)
    on array[n.nspname, p.proname]::text[] = pg_catalog.parse_ident(g.function) and p.pronargs = 1
   and p.proargtypes[0] = 'pg_catalog.text'::pg_catalog.regtype and p.prorettype = 'pg_catalog.bool'::pg_catalog.regtype
   and not p.proretset and p.prokind = 'f';
comment on view lockstep.feature_group_status is
  'groups of actors, and whether they work (state = active); a group that does not is empty, until its function is registered again';
comment on column lockstep.feature_group_status.name is 'name of the group';
comment on column lockstep.feature_group_status.function is 'the function that says who is in it';
comment on column lockstep.feature_group_status.registered_by is 'role that registered the function';
comment on column lockstep.feature_group_status.runs_as is 'owner of the function: it has the rights of this role; null if there is none';
comment on column lockstep.feature_group_status.state is
  'active, or why nobody is in the group, as after a role was renamed or dropped, or the function changed hands';
grant select on lockstep.feature_group_status to public;

create table lockstep.feature_audit (
  id bigint generated always as identity
    constraint feature_audit_pkey primary key,
  changed_at timestamptz not null default pg_catalog.clock_timestamp(),
  role text not null,
  session_role text not null default session_user,
  application_name text not null default pg_catalog.current_setting('application_name'),
  schema text not null,
  feature text,
  change text not null
    constraint feature_audit_change_check check (change in ('insert', 'update', 'delete', 'truncate')),
  -- Null for the flag itself.
  gate text,
  before text,
  after text,
  -- Who asked for it if that is not a role, such as a chat user, and by which means.
  actor text,
  source text,
  -- For a restored row, a role other than lockstep_owner.
  recorded_by name not null default current_user
);
comment on table lockstep.feature_audit is 'every change of a feature flag, whoever made it and how; only written by the triggers on its tables';
-- The application may give a flag a longer name than fits into an index together with another column.
create index feature_audit_feature_idx on lockstep.feature_audit (pg_catalog.left(feature, 255), id);
create index feature_audit_changed_at_idx on lockstep.feature_audit (changed_at);
select pg_catalog.pg_extension_config_dump('lockstep.feature_audit', '');
select pg_catalog.pg_extension_config_dump('lockstep.feature_audit_id_seq', '');
grant select on lockstep.feature_audit to lockstep_admin, pg_monitor;
