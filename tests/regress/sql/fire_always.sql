-- With session_replication_role = replica, triggers do not fire, for example during a restore or when a subscription applies
-- changes. With fire_always lockstep's do.
create schema replica;
set search_path = replica;
create table projects (id bigint primary key, usual boolean, always boolean);
create table integrations (project_id bigint references projects on delete cascade, active boolean);
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'usual', 'integrations', 'project_id', '{"active": true}') > 0 as added;
select lockstep.add_cache_column('projects', 'always', 'integrations', 'project_id', '{"active": true}', fire_always => true) > 0 as added;
select target_column, fire_always, state from lockstep.cache_columns order by id;
select tgenabled, count(*) from pg_trigger where tgname ~ 'lockstep' group by tgenabled order by tgenabled;

insert into projects values (1), (2);
set session_replication_role = replica;
insert into integrations values (1, true), (2, true);
select * from projects order by id;
insert into projects values (3);
update integrations set project_id = 3 where project_id = 1;
delete from integrations where project_id = 2;
select * from projects order by id;
truncate integrations;
select * from projects order by id;
insert into integrations values (1, true);

-- Back to normal: drift finds what was missed in the meantime, and repair corrects it.
reset session_replication_role;
select 'usual' as "column", * from lockstep.cache_column_drift('projects', 'usual')
union all select 'always', * from lockstep.cache_column_drift('projects', 'always') order by 1, 2;
select lockstep.repair_cache_column('projects', 'usual');
update integrations set project_id = 2;
select * from projects order by id;

-- The shared triggers return to normal with the last definition that needs them always.
select lockstep.remove_cache_column('projects', 'always');
select tgenabled, count(*) from pg_trigger where tgname ~ 'lockstep' group by tgenabled order by tgenabled;
select lockstep.remove_cache_column('projects', 'usual');

-- A replica does not check foreign keys, so a source row can arrive before its target even if there is one.
select lockstep.add_cache_column('projects', 'always', 'integrations', 'project_id', '{"active": true}', fire_always => true) > 0 as added;
set session_replication_role = replica;
insert into integrations values (4, true);
insert into projects values (4);
reset session_replication_role;
select id, always from projects where id = 4;
select lockstep.remove_cache_column('projects', 'always');
set client_min_messages = warning;
drop schema replica cascade;
