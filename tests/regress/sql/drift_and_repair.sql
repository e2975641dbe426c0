-- Values that were already wrong, or became wrong while triggers were disabled: finding and repairing them.
\pset null null
create schema drift;
set search_path = drift;
create table projects (id integer primary key, has_wiki boolean);
create table integrations (project_id bigint, active boolean);
create index on integrations (project_id);
-- cached and actual values: 1 to 3 have a match, 4 to 6 have none.
insert into projects values (1, true), (2, false), (3, null), (4, true), (5, false), (6, null);
insert into integrations values (1, true), (2, true), (3, true), (3, false), (4, false), (5, null), (null, true);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;

-- Null is always wrong.
select * from lockstep.cache_column_drift('projects', 'has_wiki') order by key;
-- A write to one project corrects only that project.
update integrations set active = false where project_id = 2;
select * from lockstep.cache_column_drift('projects', 'has_wiki') order by key;

-- Repair works in key order up to the limit, and counts the rows it wrote.
select lockstep.repair_cache_column('projects', 'has_wiki', max_rows => 0);
select lockstep.repair_cache_column('projects', 'has_wiki', max_rows => 2);
select * from lockstep.cache_column_drift('projects', 'has_wiki') order by key;
select lockstep.repair_cache_column('projects', 'has_wiki', max_rows => 100);
select lockstep.repair_cache_column('projects', 'has_wiki');
select * from lockstep.cache_column_drift('projects', 'has_wiki');
select * from projects order by id;

-- It can be rolled back.
update projects set has_wiki = null;
begin;
select lockstep.repair_cache_column('projects', 'has_wiki');
rollback;
select count(*) from lockstep.cache_column_drift('projects', 'has_wiki');
-- Only rows that are wrong are written.
create temporary table before as select id, ctid as version from projects;
update projects set has_wiki = false where id > 1;
update before set version = p.ctid from projects p where p.id = before.id;
select lockstep.repair_cache_column('projects', 'has_wiki');
select p.id, p.has_wiki, p.ctid = b.version as untouched from projects p join before b using (id) order by id;

-- Only cache columns have a drift.
select * from lockstep.cache_column_drift('projects', 'id');
select lockstep.repair_cache_column('integrations', 'active');

select lockstep.remove_cache_column('projects', 'has_wiki');
set client_min_messages = warning;
drop schema drift cascade;
