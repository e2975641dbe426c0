-- Several definitions: on one target, from one source, in a chain, and on a table that is its own source.
create schema several;
set search_path = several;
create table groups (id integer primary key, has_wiki_project boolean);
create table projects (id bigint primary key, group_id integer references groups, has_wiki boolean, has_tracker boolean, has_issues boolean);
create table integrations (project_id bigint references projects on delete cascade, wiki boolean, tracker boolean);
create table issues (
  id bigint primary key, parent_id bigint references issues on delete cascade, project_id bigint references projects, open boolean, has_open_child boolean
);
create index on integrations (project_id);
create index on issues (project_id);
create index on issues (parent_id);
create index on projects (group_id);

-- Two columns of one target from one source, one from another, one that depends on the first, and a table that is its own source.
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"wiki": true}') > 0
   and lockstep.add_cache_column('projects', 'has_tracker', 'integrations', 'project_id', '{"tracker": true}') > 0
   and lockstep.add_cache_column('projects', 'has_issues', 'issues', 'project_id', '{"open": true}') > 0
   and lockstep.add_cache_column('groups', 'has_wiki_project', 'projects', 'group_id', '{"has_wiki": true}', guard => true) > 0
   and lockstep.add_cache_column('issues', 'has_open_child', 'issues', 'parent_id', '{"open": true}', guard => true) > 0 as added;
select target_table, target_column, source_table, state from lockstep.cache_columns order by id;

insert into groups values (1), (2);
insert into projects (id, group_id) values (1, 1), (2, 1), (3, 2);
insert into integrations values (1, true, false), (2, true, true), (2, false, true);
insert into issues (id, parent_id, project_id, open) values (1, null, 1, true), (2, 1, 3, false), (3, 1, null, true);
select * from projects order by id;
select * from groups order by id;
select * from issues order by id;

-- One statement, two columns; then the group follows its projects.
update integrations set wiki = not wiki, tracker = not tracker;
select * from projects order by id;
update integrations set wiki = (project_id = 1);
select * from groups order by id;
update projects set group_id = 2 where id = 1;
select * from groups order by id;
delete from integrations where project_id = 1;
select * from groups order by id;

-- A table that is its own source: a row opens and closes its parent, moves to another, becomes its own parent.
update issues set open = true where id = 2;
update issues set open = false where id = 3;
select id, parent_id, open, has_open_child from issues order by id;
update issues set parent_id = 3 where id = 2;
update issues set parent_id = 1 where id = 1;
select id, parent_id, open, has_open_child from issues order by id;
update issues set has_open_child = not has_open_child;
select id, parent_id, open, has_open_child from issues order by id;
delete from issues where id = 2;
insert into issues (id, parent_id, open, has_open_child) values (4, 3, true, true), (5, 4, true, true), (6, 6, true, true);
select id, parent_id, open, has_open_child from issues order by id;
truncate issues;
select id, has_issues from projects order by id;

-- One is removed; the others continue.
select lockstep.remove_cache_column('projects', 'has_wiki');
select target_table, target_column, state from lockstep.cache_columns order by id;
insert into integrations values (3, true, true);
insert into issues (id, project_id, open) values (7, 3, true);
select * from projects order by id;
select count(lockstep.remove_cache_column(target_table, target_column)) as removed from (table lockstep.cache_columns) as c;
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';

set client_min_messages = warning;
drop schema several cascade;
