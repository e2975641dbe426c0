-- What every spec relies on, run once in the database of the specs.

-- Notices of truncate ... cascade name tables that are beside the point. Sequential scans, which the planner prefers
-- once a table has been vacuumed, read every row, and at SERIALIZABLE that makes more transactions fail. Where there is no
-- index the plan then seems so costly that it would be compiled.
do $$ begin
  execute format('alter database %I set client_min_messages = warning', current_database());
  execute format('alter database %I set enable_seqscan = off', current_database());
  execute format('alter database %I set jit = off', current_database());
end $$;

do $$ begin perform lockstep.attach(); end $$;

-- The oracle: what the cached values are, and what they must be, without the extension's help.
create view trackers as
select p.id, p.has_external_issue_tracker as cached,
       exists (select from integrations i
                where i.project_id = p.id and i.active and i.category = 'issue_tracker') as actual
  from projects p
 order by p.id;

create view wikis as
select p.id, p.has_external_wiki as cached,
       exists (select from integrations i
                where i.project_id = p.id and i.active and i.type_new = 'Integrations::ExternalWiki') as actual
  from projects p
 order by p.id;

create view drift as
select 'has_external_issue_tracker' as "column", d.*
  from lockstep.cache_column_drift('projects', 'has_external_issue_tracker') d
union all
select 'has_external_wiki', d.* from lockstep.cache_column_drift('projects', 'has_external_wiki') d;

create procedure reset_projects() language sql as $$
  delete from integrations;
  delete from projects;
  insert into projects (id, namespace_id) values (1, 1), (2, 1), (3, 1);
$$;

-- A target and its source without a foreign key between them: a guest may be there before the room is.
create table rooms (id bigint constraint rooms_pkey primary key, has_guest boolean);
create table guests (id bigint constraint guests_pkey primary key, room_id bigint, present boolean not null);
create index guests_room_id_idx on guests (room_id);
do $$ begin perform lockstep.add_cache_column('rooms', 'has_guest', 'guests', 'room_id', '{"present": true}'); end $$;

create view room_guests as
select r.id, r.has_guest as cached, exists (select from guests g where g.room_id = r.id and g.present) as actual
  from rooms r
 order by r.id;

create view room_drift as select * from lockstep.cache_column_drift('rooms', 'has_guest');

create procedure reset_rooms() language sql as $$
  delete from guests;
  delete from rooms;
$$;

-- Four jobs, numbered from 1, and two runners.
create procedure reset_jobs() language plpgsql as $$
begin
  delete from lockstep.job;
  delete from lockstep.job_runner;
  alter table lockstep.job alter column id restart;
  alter table lockstep.job_runner alter column id restart;
  perform lockstep.enqueue_job('Test') from generate_series(1, 4);
  perform lockstep.start_runner('runner ' || n, '1 hour') from generate_series(1, 2) n;
end $$;

create view jobs as select id as job, runner, status, losses from lockstep.job order by id;

-- Slack workspaces: team A of two rows and team B of one, and the oracle: rows of a team that differ from another.
create view slack_rows as
select s.team_id as team, s.alias, s.user_id as "user", encode(s.encrypted_bot_access_token, 'escape') as token,
       (select string_agg(c.name, ' ' order by c.name collate "C") from slack_integrations_scopes l
          join slack_api_scopes c on c.id = l.slack_api_scope_id where l.slack_integration_id = s.id) as scopes,
       (select count(distinct o.updated_at) from slack_integrations o where o.team_id = s.team_id) as times
  from slack_integrations s
 order by s.team_id, s.alias collate "C";

create view slack_wrong as
select team, count(*) as kinds
  from (select team, "user", token, scopes, times from slack_rows group by 1, 2, 3, 4, 5) k
 group by team having count(*) > 1 or bool_or(times > 1)
union all
select team_id, -1 from lockstep.slack_workspace_drift();

create procedure reset_slack() language plpgsql as $$
begin
  delete from integrations;
  delete from slack_api_scopes;
  delete from lockstep.slack_installation;
  delete from lockstep.slack_event;
  delete from projects;
  insert into projects (id, path, namespace_id) select n, 'p' || n, 1 from generate_series(1, 5) n;
  -- Two sessions that make the same scope wait for each other, whatever their teams: here all scopes are there.
  insert into slack_api_scopes (name, organization_id) values ('commands', 1), ('chat:write', 1);
  perform lockstep.install_slack_workspace('A', 'A', 'U0', 'B', 't0', 'i', '{commands}', project_id => 1);
  perform lockstep.install_slack_workspace('A', 'A', 'U0', 'B', 't0', 'i', '{commands}', project_id => 2);
  perform lockstep.install_slack_workspace('B', 'B', 'U0', 'B', 't0', 'i', '{commands}', project_id => 3);
  insert into integrations (id, project_id, type_new) values (-4, 4, 'Integrations::GitlabSlackApplication');
end $$;

-- No flag, no incident, no command of chatops.
create procedure reset_chatops() language plpgsql as $$
begin
  truncate features, feature_gates, lockstep.feature_audit, lockstep.chatops_command;
  truncate lockstep.chatops_incident restart identity;
end $$;
create function chatops(trigger_id text, request text, environment text default 'production') returns jsonb language sql as $$
  select jsonb_build_object('trigger_id', trigger_id, 'request', request, 'team_id', 'T1', 'user_id', 'U1', 'text', 'x', 'environment', environment)
$$;
create view chatops_state as
select (select coalesce(string_agg(key || '=' || value, ' '), 'off') from feature_gates) as flag,
       (select count(*) from lockstep.chatops_incident where closed_at is null) as incidents,
       (select count(*) from lockstep.chatops_command) as commands,
       (select count(*) from lockstep.feature_audit where actor is distinct from 'U1' and change <> 'truncate') as unattributed;
