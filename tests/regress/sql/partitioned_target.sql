-- A partitioned target, and one that is partitioned like its source.
create schema parts;
set search_path = parts;
create table projects (id bigint primary key, has_wiki boolean) partition by range (id);
create table projects_1 partition of projects for values from (0) to (10);
create table projects_2 partition of projects for values from (10) to (20);
create table integrations (id bigint, project_id bigint, active boolean) partition by range (project_id);
create table integrations_1 partition of integrations for values from (0) to (10);
create table integrations_2 partition of integrations default;
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}', guard => true) > 0 as added;
select state from lockstep.cache_columns;

insert into projects values (1, null), (11, true);
insert into integrations values (1, 1, true), (2, 12, true);
-- The target of row 2 is inserted later: there is no foreign key.
insert into projects_2 values (12, null);
select tableoid::regclass, * from projects order by id;
update integrations set project_id = 11 where id = 1;
select * from projects order by id;
-- A target row that moves to another partition and key takes the value of the new key.
update projects set id = 2 where id = 12;
select tableoid::regclass, * from projects order by id;
-- The guard applies on every level.
update projects_2 set has_wiki = false;
update projects set has_wiki = true where id = 2;
select * from projects order by id;
create table projects_3 partition of projects for values from (20) to (30);
insert into integrations values (3, 20, true);
insert into projects values (20, false), (21, true);
update projects_3 set has_wiki = not has_wiki;
select * from projects order by id;
truncate integrations_2;
select * from projects order by id;
select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';
set client_min_messages = warning;
drop schema parts cascade;
