-- Chatops: what its functions return, record and refuse.
\pset null null
create schema ops;
set search_path = ops;
create table projects (id bigint primary key, path text, namespace_id bigint);
create table namespaces (id bigint primary key, path text, parent_id bigint, type text);
create table users (id bigint primary key, username text);
insert into namespaces values (1, 'Top', null, 'Group'), (2, 'sub', 1, 'Group'), (3, 'ada', null, 'User'), (4, 'p', 1, 'Project');
insert into projects values (10, 'app', 2), (11, 'dotfiles', 3);
insert into users values (7, 'Ada');
do $$ begin perform lockstep.attach('ops'); perform lockstep.attach_slack('ops'); end $$;
create function command(trigger_id text, request text default 'r') returns jsonb language sql as $$
  select jsonb_build_object('trigger_id', trigger_id, 'request', request, 'team_id', 'T1', 'user_id', 'U1', 'user_name', 'ada',
                            'channel_id', 'C1', 'text', '/chatops run', 'environment', 'staging')
$$;
create function set_flag(trigger_id text, wish jsonb) returns jsonb language sql as $$
  select lockstep_api.chatops_set_feature(command(trigger_id), 'f', wish, 'ops') -> 'result' -> 'after'
$$;

create function anybody(actor text) returns boolean language sql as 'select true';
select lockstep.register_feature_group('staff', 'anybody(text)');
-- targets by path, in any case, and by id, without duplicates
select set_flag('1', '{"enabled": true, "projects": ["top/SUB/app", "10", "ada/dotfiles"], "groups": ["top/sub", "2"],
                       "namespaces": ["top", "ada"], "users": ["ada", "ADA"], "feature_groups": ["staff"]}') -> 'actors' as actors;
select set_flag('2', '{"enabled": false, "users": ["ada"]}') -> 'actors' as actors;
-- a name that looks like a mention matches nobody
select set_flag('5', '{"enabled": true, "users": ["@ada"]}');
-- by the application's table of paths, if it has one
create table routes (source_id bigint, source_type text, path text);
insert into routes values (10, 'Project', 'moved/app'), (2, 'Namespace', 'moved');
select set_flag('3', '{"enabled": true, "projects": ["Moved/App"], "groups": ["MOVED"]}') -> 'actors' as actors;
select set_flag('4', '{"enabled": true, "projects": ["top/sub/app"]}');
drop table routes;
-- if one does not exist, it is named, and nothing is done
select set_flag('5', '{"enabled": true, "users": ["ada", "nobody"]}');
-- all that do not exist
select set_flag('5', '{"enabled": true, "users": ["nobody", "ada"], "projects": ["app"], "feature_groups": ["staff", "none"]}');
-- a mention means the linked account
select set_flag('5', '{"enabled": true, "users": ["<@U7|ada>"]}');
create table chat_names (user_id bigint, team_id text, chat_id text);
insert into chat_names values (7, 'T1', 'U7'), (8, 'T2', 'U8');
select set_flag('mention', '{"enabled": true, "users": ["<@U7|bob>"]}') -> 'actors' as actors;
select set_flag('5', '{"enabled": true, "users": ["<@U8>", "<@U7>"]}');
drop table chat_names;
-- a flag set for a group that is gone can be unset
select lockstep.unregister_feature_group('staff');
select set_flag('group', '{"enabled": false, "feature_groups": ["staff"]}') -> 'groups' as groups;
select set_flag('5', '{"enabled": true, "projects": ["app"]}');
select set_flag('5', '{"enabled": true, "groups": ["top/p"]}');
select set_flag('5', '{"enabled": true, "groups": ["ada"]}');
select set_flag('5', '{"enabled": true, "namespaces": ["top//sub"]}');
select set_flag('5', '{"enabled": true, "projects": ["99999999999999999999"]}');
-- invalid requests
select set_flag('5', '{}');
select set_flag('5', '{"enabled": true, "percentage": "5"}');
select set_flag('5', '{"percentage": "5", "users": ["ada"]}');
select set_flag('5', '{"percentage": "101"}');
select set_flag('5', '{"percentage": "5", "of": "users"}');
select set_flag('5', '{"on": true}');
select set_flag(null, '{"enabled": true}');
select set_flag('', '{"enabled": true}');
select lockstep_api.chatops_set_feature('{}', 'f', '{"enabled": true}', 'ops');
select lockstep_api.chatops_set_feature(command('5'), null, '{"enabled": true}', 'ops');
select lockstep_api.chatops_set_feature(command('5'), '', '{"enabled": true}', 'ops');
select lockstep_api.chatops_set_feature(command('5'), 'f', '{"enabled": true}', 'nowhere');
select count(*) from lockstep.chatops_command where trigger_id = '5' or trigger_id = '';
-- the same command again, by another delivery and by the same one
select lockstep_api.chatops_set_feature(command('6', 'a'), 'g', '{"percentage": "12"}', 'ops') #>> '{result,after,percentage_of_actors}' as percentage;
select lockstep.set_feature('g', false, 'ops');
select answer ->> 'repeated' as repeated, answer #>> '{result,after,percentage_of_actors}' as percentage
  from lockstep_api.chatops_set_feature(command('6', 'b'), 'g', '{"percentage": "12"}', 'ops') answer;
select answer ->> 'repeated' as repeated, answer #>> '{result,after,percentage_of_actors}' as percentage
  from lockstep_api.chatops_set_feature(command('6', 'a'), 'g', '{"percentage": "12"}', 'ops') answer;
select lockstep_api.chatops_feature('g', 'ops') ->> 'state' as state;
select lockstep_api.chatops_was_done(command('6', 'c')) as was_done, lockstep_api.chatops_was_done(command('never')) as never;
select lockstep_api.chatops_was_done('{}');
select lockstep_api.chatops_was_done(null);
-- the actor; after an error it is reset
select distinct actor, source from lockstep.feature_audit where schema = 'ops' and feature = 'f';
select actor, source, change, gate, after from lockstep.feature_audit where schema = 'ops' and feature = 'g' order by id;
-- list, history and deletion
select lockstep_api.chatops_features('F', null, 10, 'ops') ->> 'total' as total, lockstep_api.chatops_features('', 60, 10, 'ops') as old,
       jsonb_array_length(lockstep_api.chatops_features('', null, 1, 'ops') -> 'features') as first;
update lockstep.feature_audit set changed_at = changed_at - interval '1464 hours' where schema = 'ops' and feature = 'g';
select f ->> 'name' as name, f ->> 'unchanged_days' as days from jsonb_array_elements(lockstep_api.chatops_features('', 60, 10, 'ops') -> 'features') f;
select r #>> '{history,changed_by}' as by, r #>> '{history,hours_unchanged}' as hours, r ->> 'stale_rows' as stale from lockstep_api.chatops_rollout('g', 'ops') r;
insert into feature_gates (feature_key, key, value, created_at, updated_at) values
  ('gone', 'actors', 'User:1', now(), now()), ('gone', 'percentage_of_actors', '0', now(), now());
select lockstep_api.chatops_rollout('gone', 'ops') ->> 'stale_rows' as stale;
-- an opt-out from a flag that is on has an effect, an actor next to it does not
select lockstep.set_feature('exception', true, 'ops'), lockstep.opt_out_of_feature('exception', 'User:1', 'ops');
select lockstep_api.chatops_rollout('exception', 'ops') ->> 'stale_rows' as stale;
insert into feature_gates (feature_key, key, value, created_at, updated_at) values ('exception', 'actors', 'User:2', now(), now());
select lockstep_api.chatops_rollout('exception', 'ops') ->> 'stale_rows' as stale;
-- an opt-out alone turns nothing on
select lockstep.opt_out_of_feature('off', 'User:1', 'ops');
select f ->> 'state' as state, f ->> 'is_on_for_anybody' as is_on from lockstep_api.chatops_hold_feature('off', 'staging', 'ops') f;
select lockstep_api.chatops_hold_feature('', 'staging', 'ops');
-- flags set before changes were audited are as old as their rows
create function ago(hours integer) returns timestamp language sql as $$ select timezone('utc', now()) - hours * interval '1 hour' $$;
insert into features (key, created_at, updated_at) values
  ('old', ago(2161), ago(2161)), ('touched', ago(2161), ago(2161)), ('young', ago(24), ago(24));
insert into feature_gates (feature_key, key, value, created_at, updated_at) values ('touched', 'actors', 'User:1', ago(50), ago(50));
delete from lockstep.feature_audit where feature in ('old', 'touched', 'young');
select f ->> 'name' as name, f ->> 'unchanged_days' as days from jsonb_array_elements(lockstep_api.chatops_features('', 60, 10, 'ops') -> 'features') f;
select lockstep_api.chatops_rollout('touched', 'ops') #>> '{history,hours_unchanged}' as hours;
select lockstep_api.chatops_delete_feature(command('7'), 'f', schema => 'ops') #>> '{result,after,is_set}' as is_set;
select lockstep_api.chatops_delete_feature(command('8'), 'f', schema => 'ops');
-- changes before a deletion belong to an earlier rollout
update lockstep.feature_audit set changed_at = '2026-01-02 03:04+00' where schema = 'ops' and feature = 'f';
select r #>> '{history,deleted_at}' as deleted_at, r #>> '{history,first_on_at}' as first_on_at, r #>> '{history,changed_by}' as by from lockstep_api.chatops_rollout('f', 'ops') r;
select lockstep.set_feature('f', true, 'ops');
update lockstep.feature_audit set changed_at = '2026-01-03 03:04+00' where schema = 'ops' and feature = 'f' and actor is null;
select r #>> '{history,deleted_at}' as deleted_at, r #>> '{history,first_on_at}' as first_on_at, r #>> '{history,fully_on_since}' as since from lockstep_api.chatops_rollout('f', 'ops') r;
-- incidents
select lockstep_api.chatops_declare_incident(command('9'), ' ', 2);
select lockstep_api.chatops_declare_incident(command('9'), 'x', 0);
select lockstep_api.chatops_close_incident(command('9'), 12345);
-- the application's tables
select lockstep_api.chatops_deployments('abcdef0', 'ops');
select lockstep_api.chatops_deployments('abc', 'ops');
select lockstep_api.chatops_release('top/sub/app', 1, '15', 'ops');
select lockstep_api.is_chatops_member('T1', 'U1', 'top', 'ops');
-- backfills and workers
select lockstep_api.chatops_backfills(12345);
select lockstep_api.chatops_control_backfill(command('9'), 12345, 'pause');
select lockstep_api.chatops_control_backfill(command('9'), 12345, 'stop');
select lockstep_api.chatops_retire_worker(command('9'), 'Nobody');
set client_min_messages = warning;
drop schema ops cascade;
