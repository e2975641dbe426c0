-- Without a foreign key a source row can exist before and after its target.
create schema absent;
set search_path = absent;
create table projects (id bigint primary key, has_wiki boolean);
create table integrations (id bigint primary key, project_id bigint, active boolean);
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;

insert into integrations values (1, 1, true), (2, 2, false), (3, null, true);
insert into projects values (1, null), (2, null), (3, true);
select * from projects order by id;

-- The target is deleted and inserted again.
delete from projects where id = 1;
update integrations set active = false where id = 1;
update integrations set active = true where id = 1;
insert into projects values (1, false);
select * from projects order by id;
insert into projects values (1, false) on conflict (id) do update set has_wiki = excluded.has_wiki;

-- A target's key changes.
update projects set id = 10 where id = 1;
update projects set id = 1 where id = 2;
select * from projects order by id;
truncate projects;
insert into projects select generate_series(1, 3);
select * from projects order by id;

-- A foreign key that is added and later dropped.
delete from integrations where project_id is null;
alter table integrations add constraint fk foreign key (project_id) references projects;
update integrations set active = not active;
select * from projects order by id;
alter table integrations drop constraint fk;
insert into integrations values (4, 4, true);
insert into projects values (4);
select * from projects order by id;
select lockstep.remove_cache_column('projects', 'has_wiki');

-- The foreign key exists when the column is added, and is dropped later: from then on new targets are checked.
alter table integrations add constraint fk foreign key (project_id) references projects;
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
alter table integrations drop constraint fk;
select state from lockstep.cache_columns;
insert into integrations values (5, 5, true);
insert into projects values (5);
select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
select lockstep.repair_cache_column('projects', 'has_wiki');
select state from lockstep.cache_columns;
insert into integrations values (50, 50, true);
insert into projects values (50);
select * from projects where id in (5, 50) order by id;
delete from integrations where id in (5, 50);
select lockstep.remove_cache_column('projects', 'has_wiki');

-- A foreign key that sets its rows to null when the key changes.
alter table integrations add constraint fk foreign key (project_id) references projects on update set null;
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
select * from projects where id = 4;
update projects set id = 40 where id = 4;
select * from projects where id = 40;
select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
alter table integrations drop constraint fk;

-- A deferred foreign key is only checked at commit, so it does not count.
alter table integrations add constraint fk foreign key (project_id) references projects deferrable initially deferred;
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
begin;
insert into integrations values (6, 6, true);
insert into projects values (6);
commit;
select * from projects where id = 6;
select lockstep.remove_cache_column('projects', 'has_wiki');

set client_min_messages = warning;
drop schema absent cascade;
