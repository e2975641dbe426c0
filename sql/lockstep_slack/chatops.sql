-- Commands that were executed from Slack, once each: a second delivery of the same command finds the row of the first.
create table lockstep.chatops_command (
  trigger_id text not null
    constraint chatops_command_trigger_id_check check (trigger_id <> '' and pg_catalog.length(trigger_id) <= 255),
  user_id text not null
    constraint chatops_command_user_id_check check (user_id <> '' and pg_catalog.length(user_id) <= 100),
  environment text not null
    constraint chatops_command_environment_check check (pg_catalog.length(environment) <= 100),
  team_id text not null,
  user_name text not null,
  channel_id text not null,
  command text not null,
  -- The delivery that executed it.
  request text not null,
  result jsonb,
  role text not null default session_user,
  ran_at timestamptz not null default pg_catalog.clock_timestamp(),
  -- For a restored row, a role other than lockstep_owner.
  recorded_by name not null default current_user,
  constraint chatops_command_pkey primary key (trigger_id, user_id, environment)
);
comment on table lockstep.chatops_command is 'commands of chatops that changed something, by whom and with what result; written by the functions of lockstep alone';
create index chatops_command_ran_at_idx on lockstep.chatops_command (ran_at);
select pg_catalog.pg_extension_config_dump('lockstep.chatops_command', '');
-- Records who restored a row from a dump.
create trigger check_restored before insert on lockstep.chatops_command for each row
  when (current_user operator(pg_catalog.<>) 'lockstep_owner') execute function lockstep_internal.check_restored('record');
grant select on lockstep.chatops_command to lockstep_admin, pg_monitor;

-- While one is open, chatops changes no flag in production. A DBA may also write it.
create table lockstep.chatops_incident (
  id bigint generated always as identity
    constraint chatops_incident_pkey primary key,
  title text not null
    constraint chatops_incident_title_check check (title <> ''),
  severity smallint not null default 2
    constraint chatops_incident_severity_check check (severity between 1 and 4),
  declared_by text not null default session_user,
  declared_at timestamptz not null default pg_catalog.clock_timestamp(),
  closed_by text,
  closed_at timestamptz,
  constraint chatops_incident_closed_check check (closed_at is not null or closed_by is null)
);
comment on table lockstep.chatops_incident is 'incidents: an open one of severity 1 or 2 holds changes of flags in production';
create index chatops_incident_open_idx on lockstep.chatops_incident (severity) where closed_at is null;
select pg_catalog.pg_extension_config_dump('lockstep.chatops_incident', '');
select pg_catalog.pg_extension_config_dump('lockstep.chatops_incident_id_seq', '');
grant select on lockstep.chatops_incident to lockstep_admin, pg_monitor;
