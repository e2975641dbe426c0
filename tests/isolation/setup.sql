-- Shared by all specs; run once in their database.

-- Notices of truncate ... cascade name irrelevant tables. Sequential scans, which the planner prefers after a vacuum, read every
-- row, and at SERIALIZABLE that makes more transactions fail. Without an index such a plan seems so expensive that it would be
-- compiled.
do $$ begin
  execute format('alter database %I set client_min_messages = warning', current_database());
  execute format('alter database %I set enable_seqscan = off', current_database());
  execute format('alter database %I set jit = off', current_database());
end $$;

do $$ begin perform lockstep.attach(); perform lockstep.attach_slack(); end $$;

-- The oracle: the cached values and the correct ones, computed without the extension.
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

-- A target and its source without a foreign key: a guest may arrive before the room exists.
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
  delete from lockstep_internal.job;
  delete from lockstep_internal.job_runner;
  alter table lockstep_internal.job alter column id restart;
  alter table lockstep_internal.job_runner alter column id restart;
  perform lockstep.enqueue_job('Test') from generate_series(1, 4);
  perform lockstep.start_runner('runner ' || n, '1 hour') from generate_series(1, 2) n;
end $$;

create view jobs as select id as job, runner, status, losses from lockstep_internal.job order by id;

-- Slack workspaces: team A with two rows and team B with one. The oracle: rows of a team that differ from each other.
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
  delete from lockstep_internal.slack_installation;
  delete from lockstep_internal.slack_event;
  delete from projects;
  insert into projects (id, path, namespace_id) select n, 'p' || n, 1 from generate_series(1, 5) n;
  -- Two sessions that create the same scope wait for each other, whatever their teams: here all scopes exist.
  insert into slack_api_scopes (name, organization_id) values ('commands', 1), ('chat:write', 1);
  perform lockstep.install_slack_workspace('A', 'A', 'U0', 'B', 't0', 'i', '{commands}', project_id => 1);
  perform lockstep.install_slack_workspace('A', 'A', 'U0', 'B', 't0', 'i', '{commands}', project_id => 2);
  perform lockstep.install_slack_workspace('B', 'B', 'U0', 'B', 't0', 'i', '{commands}', project_id => 3);
  insert into integrations (id, project_id, type_new) values (-4, 4, 'Integrations::GitlabSlackApplication');
end $$;

-- Deliveries 1 and 2 to channel 1, 3 and 4 to channel 2, both of team A, and 5 to channel 3 of team B; claims are recorded.
create table claimed (who text, delivery bigint, lease bigint);

create procedure reset_deliveries() language plpgsql as $$
begin
  call reset_slack();
  delete from claimed;
  delete from lockstep_internal.slack_delivery;
  delete from lockstep_internal.slack_channel;
  delete from lockstep_internal.slack_team_pace;
  delete from lockstep_internal.event;
  alter table lockstep_internal.slack_delivery alter column id restart;
  alter table lockstep_internal.slack_channel alter column id restart;
  alter table lockstep_internal.event alter column id restart;
  insert into lockstep_internal.slack_channel (schema, team_id, channel) values ('public', 'A', '#one'), ('public', 'A', '#two'), ('public', 'B', '#three');
  perform publish_to(channel) from unnest(array[1, 1, 2, 2, 3]) channel;
end $$;

create function publish_to(to_channel bigint) returns bigint language sql as $$
  with event as (insert into lockstep_internal.event (schema, key, payload) values ('public', gen_random_uuid()::text, '{"object_kind": "push"}') returning id)
  insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane)
  select 'public', event.id, s.integration_id, s.id, c.id, c.id
    from event, lockstep_internal.slack_channel c
    join lateral (select * from slack_integrations s where s.team_id = c.team_id order by s.id limit 1) s on true
   where c.id = to_channel
  returning id
$$;

-- Finished pipelines of project 1, one per branch.
create function publish_pipelines(pipeline bigint, variadic branches text[]) returns text language sql as $$
  select string_agg(p.outcome, ' ' order by p.place)
    from lockstep_api.publish_events(
      (select array_agg(json_build_object('object_kind', 'pipeline', 'project', json_build_object('id', 1),
                                          'object_attributes', json_build_object('id', pipeline, 'status', 'failed', 'ref', branch)) order by n)
         from unnest(branches) with ordinality b (branch, n)),
      array_fill(null::text, array[cardinality(branches)])) p
$$;

create function claim_for(who text, most integer, per_minute integer default 60000) returns text language plpgsql as $$
begin
  insert into claimed select who, d.delivery, d.lease from lockstep_api.claim_deliveries(most, '1 hour', per_minute) d;
  return (select string_agg(c.delivery::text, ' ' order by c.delivery) from claimed c where c.who = claim_for.who);
end $$;

create function finish_for(who text, outcome text) returns integer language plpgsql as $$
declare
  taken constant integer := lockstep_api.finish_deliveries((
    select coalesce(jsonb_agg(jsonb_build_object('delivery', c.delivery, 'lease', c.lease, 'outcome', outcome)), '[]')
      from claimed c where c.who = finish_for.who));
begin
  -- A released delivery was never sent.
  delete from claimed c where c.who = finish_for.who and outcome = 'release';
  return taken;
end $$;

create procedure make_due() language sql as $$ update lockstep_internal.slack_channel set not_before = '-infinity' $$;

create procedure let_leases_run_out() language sql as $$
  update lockstep_internal.slack_channel set leased_until = clock_timestamp() - interval '1 second', not_before = '-infinity' where lease is not null
$$;

create view deliveries as
select d.id, d.channel, d.status, d.attempts, d.uncertain, c.lease is not null as in_flight
  from lockstep_internal.slack_delivery d left join lockstep_internal.slack_channel c on c.delivery = d.id
 order by d.id;

-- The oracle: deliveries claimed more often than their counts say, and channels in which a delivery overtook another.
create view deliveries_wrong as
select d.id, 'claimed too often' as what
  from lockstep_internal.slack_delivery d join claimed c on c.delivery = d.id
 group by d.id having count(*) > 1 + d.attempts + d.uncertain
union all
select d.id, 'out of order'
  from lockstep_internal.slack_delivery d
 where d.status = 'waiting' and exists (
   select from lockstep_internal.slack_delivery o join claimed c on c.delivery = o.id where o.channel = d.channel and o.id > d.id and o.status = 'delivered')
union all
select d.id, 'in flight, and done'
  from lockstep_internal.slack_channel c join lockstep_internal.slack_delivery d on d.id = c.delivery where d.status <> 'waiting';
-- No flags, incidents or chatops commands.
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
