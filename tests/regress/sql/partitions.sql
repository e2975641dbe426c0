-- A partitioned source: rows written to the root, a branch or a leaf, and rows that move between them.
create schema parts;
set search_path = parts;
create table projects (id bigint primary key, has_wiki boolean);
insert into projects select generate_series(1, 4);
create table integrations (
  id bigint not null, dropped integer, region text not null, project_id bigint, active boolean not null default true
) partition by list (region);
create table europe partition of integrations for values in ('eu', 'uk') partition by list (region);
create table europe_eu partition of europe for values in ('eu');
-- Attached with its columns in another order: column numbers differ from the root's.
create table europe_uk (active boolean not null default true, project_id bigint, region text not null, id bigint not null);
alter table integrations drop column dropped;
alter table europe attach partition europe_uk for values in ('uk');
create table asia partition of integrations default;
create index on integrations (project_id);

select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
select target_table, source_table, state from lockstep.cache_columns;
create view compared as
  select p.id, p.has_wiki as cached, exists (select from integrations i where i.project_id = p.id and i.active) as actual
  from projects p order by p.id;
select lockstep.repair_cache_column('projects', 'has_wiki');

-- Through the root, a branch, a leaf, and by COPY.
insert into integrations values (1, 'uk', 1);
insert into europe values (2, 'eu', 2);
insert into europe_uk (id, region, project_id) values (3, 'uk', 3);
copy integrations from stdin;
4	asia	4	t
\.
table compared;
update integrations set active = not active;
table compared;
update europe set active = true;
update asia set project_id = 1, active = true;
table compared;

-- A row that moves to another partition is deleted there and inserted here. Here its key changes too ...
update integrations set region = 'asia', project_id = 4 where id = 3;
table compared;
-- ... and here only the partition column changes.
update integrations set region = 'eu' where id = 3;
update europe set region = 'eu' where id = 1;
select tableoid::regclass, id, project_id from integrations order by id;
table compared;
delete from integrations where id = 3;
delete from europe_eu where id = 1;
table compared;

-- Truncate: the leaf, the branch, the root.
insert into integrations values (10, 'eu', 1), (11, 'uk', 2), (12, 'asia', 3);
truncate europe_uk;
table compared;
truncate europe;
table compared;
truncate integrations;
table compared;

-- A partition that is attached later has the row triggers, which flush row by row, but not the statement triggers.
create table america (like integrations including defaults);
create index on america (project_id);
alter table integrations attach partition america for values in ('us');
select state from lockstep.cache_columns;
insert into america values (20, 'us', 1), (21, 'us', 2);
insert into integrations values (22, 'us', 3);
table compared;
update america set project_id = 4 where id = 20;
update integrations set region = 'eu' where id = 21;
delete from america where id = 22;
table compared;

-- Rows in a newly attached partition fire nothing; drift shows them and repair corrects them.
create table africa (like integrations including defaults);
create index on africa (project_id);
insert into africa values (30, 'za', 3);
alter table integrations attach partition africa for values in ('za');
select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.repair_cache_column('projects', 'has_wiki');
alter table integrations detach partition africa;
select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.repair_cache_column('projects', 'has_wiki');
-- The detached table is no longer a source.
delete from africa;
truncate africa;
table compared;
-- Neither is one that had statement triggers of its own; it keeps none of them.
alter table europe detach partition europe_uk;
insert into europe_uk (id, region, project_id) values (31, 'uk', 1);
truncate europe_uk;
table compared;

-- Removing and adding again gives every partition its triggers.
select lockstep.remove_cache_column('projects', 'has_wiki');
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}', fire_always => true) > 0 as added;
select state from lockstep.cache_columns;

-- fire_always applies to every partition, also to one created later.
create table oceania partition of integrations for values in ('au');
set session_replication_role = replica;
insert into integrations values (40, 'eu', 1), (41, 'au', 3);
update integrations set project_id = 2 where id = 40;
reset session_replication_role;
table compared;

select lockstep.remove_cache_column('projects', 'has_wiki');
set client_min_messages = warning;
drop schema parts cascade;
