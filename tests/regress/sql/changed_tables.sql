-- The tables of a definition are renamed, moved and changed while it is in place.
alter table lockstep_internal.cache_column_definition alter column id restart;
create schema changed;
create schema elsewhere;
set search_path = changed, elsewhere;
create table projects (junk integer, id bigint primary key, has_wiki boolean);
create table integrations (junk integer, id bigint primary key, project_id bigint references projects, active boolean, kind text);
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
insert into projects (id) values (1), (2);
insert into integrations (id, project_id, active) values (1, 1, true);

-- Dropping a column leaves a hole in the column numbers; new columns get higher ones.
alter table projects drop column junk, add column note text;
alter table integrations drop column junk;
update integrations set project_id = 2;
select id, has_wiki from projects order by id;

alter table projects rename to undertakings;
alter table integrations rename to connections;
alter table connections set schema elsewhere;
update connections set project_id = 1;
select id, has_wiki from undertakings order by id;
select target_table, source_table, state from lockstep.cache_columns;
truncate connections;
select id, has_wiki from undertakings order by id;
alter table undertakings rename to projects;
alter table connections rename to integrations;
alter table integrations set schema changed;

-- The index on the key is dropped and will be created again. In between lookups are slow, but no write fails.
insert into integrations values (1, 1, true);
drop index integrations_project_id_idx;
update integrations set active = false;
select id, has_wiki from projects order by id;
select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.repair_cache_column('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
create index on integrations (project_id);

-- The cache column is dropped and added again.
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}', guard => true) > 0 as added;
alter table projects drop column has_wiki;
begin;
set local client_min_messages = warning;
alter table projects drop column has_wiki cascade;
select state from lockstep.cache_columns;
alter table projects add column has_wiki boolean;
select state from lockstep.cache_columns;
select lockstep.remove_cache_column('projects', 'has_wiki');
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
select lockstep.repair_cache_column('projects', 'has_wiki');
update integrations set active = true;
select id, has_wiki from projects order by id;
rollback;

-- A type cannot change under a trigger ...
alter table integrations alter column active type text;
-- ... so GitLab widens an integer key by filling a new column and swapping the names. The triggers stay on the column that lost
-- the name, which the state shows and attach repairs.
begin;
alter table integrations add column wide bigint;
create index on integrations (wide);
update integrations set wide = project_id;
alter table integrations rename column project_id to narrow;
alter table integrations rename column wide to project_id;
select state from lockstep.cache_columns;
select status, detail from lockstep.attach('changed') where feature = 'projects.has_wiki';
select state from lockstep.cache_columns;
update integrations set project_id = 2, active = true;
select id, has_wiki from projects order by id;
select lockstep.remove_cache_column('projects', 'has_wiki');
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
update integrations set project_id = 2, active = true;
select id, has_wiki from projects order by id;
select state from lockstep.cache_columns;
rollback;

-- A column of the match is renamed: the definition names a column that no longer exists, which the view and writes report.
update integrations set active = false;
begin;
alter table integrations rename column active to enabled;
select state <> 'active' as noticed from lockstep.cache_columns;
update integrations set enabled = true;
rollback;

-- A table is dropped. The rest can be removed, also by OID.
select lockstep.remove_cache_column('projects', 'has_wiki');
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}', guard => true) > 0 as added;
begin;
drop table integrations;
select state from lockstep.cache_columns;
insert into projects (id) values (3);
select id, has_wiki from projects where id = 3;
select lockstep.remove_cache_column('projects', 'has_wiki');
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';
rollback;
begin;
drop table projects cascade;
select state from lockstep.cache_columns;
\set VERBOSITY sqlstate
savepoint gone;
insert into integrations values (9, 9, true);
rollback to gone;
truncate integrations;
rollback to gone;
\set VERBOSITY default
select lockstep.remove_cache_column(target_table, target_column) from lockstep.cache_columns;
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';
rollback;

select lockstep.remove_cache_column('projects', 'has_wiki');
set client_min_messages = warning;
drop schema changed, elsewhere cascade;
