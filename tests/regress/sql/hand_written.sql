-- What hand-written triggers get wrong, case by case. In each, project 1 or 2 starts in the state that its first line shows.
\pset null null
create schema hand;
set search_path = hand;
create table projects (id bigint primary key, has_external_wiki boolean, has_external_issue_tracker boolean);
-- No unique index on project and type: services had none, so a project can have two wikis.
create table integrations (
  id bigint primary key,
  project_id bigint references projects on delete cascade,
  active boolean not null default false,
  category varchar not null default 'common',
  type_new text
);
create index on integrations (project_id);
select status from lockstep.attach('hand');
insert into projects values (1), (2);
create view cached as
  select id as project, has_external_wiki as wiki, has_external_issue_tracker as tracker from projects order by id;

-- 8: only inactive rows, ever: false, not null
begin;
insert into integrations values (1, 1, false, 'issue_tracker', 'Integrations::Jira'), (2, 1, false, 'common', 'Integrations::ExternalWiki');
table cached;
rollback;

-- From here on project 1 has one active tracker (1) and one active wiki (2).
insert into integrations values (1, 1, true, 'issue_tracker', 'Integrations::Jira'), (2, 1, true, 'common', 'Integrations::ExternalWiki');
table cached;

-- 1: moved from project 1 to 2
begin; update integrations set project_id = 2; table cached; rollback;
-- 2: moved and made inactive at once
begin; update integrations set project_id = 2, active = false; table cached; rollback;
-- moved and made active at once
begin;
update integrations set active = false; table cached;
update integrations set project_id = 2, active = true; table cached;
rollback;
-- 3: detached from its project
begin; update integrations set project_id = null; table cached; update integrations set project_id = 2; table cached; rollback;
-- 4a: the tracker becomes something else; 4b: something else becomes a tracker
begin;
update integrations set category = 'common' where id = 1; table cached;
update integrations set category = 'issue_tracker' where id = 2; table cached;
rollback;
-- 4c: the tracker becomes something else and inactive at once
begin; update integrations set category = 'common', active = false where id = 1; table cached; rollback;
-- 5a: the wiki becomes another type; 5b: another type becomes a wiki
begin;
update integrations set type_new = 'Integrations::Confluence' where id = 2; table cached;
update integrations set type_new = 'Integrations::ExternalWiki' where id = 1; table cached;
rollback;
-- 6a: two active wikis, one made inactive
begin;
insert into integrations values (3, 1, true, 'common', 'Integrations::ExternalWiki');
update integrations set active = false where id = 3; table cached;
rollback;
-- 6b: an inactive wiki is deleted next to the active one
begin;
insert into integrations values (3, 1, false, 'common', 'Integrations::ExternalWiki');
delete from integrations where id = 3; table cached;
rollback;
-- 6c: an inactive wiki is deleted, and none is left: the project's row is not even written
begin;
insert into integrations values (3, 2, false, 'common', 'Integrations::ExternalWiki');
create temporary table before as select ctid as version from projects where id = 2;
delete from integrations where id = 3;
select ctid = (select version from before) as untouched from projects where id = 2;
rollback;
-- 7: truncate
begin; truncate integrations; table cached; rollback;
begin; truncate projects cascade; select count(*) from integrations; rollback;
-- 10: written directly; without guard it stays wrong, and drift finds it
begin;
update projects set has_external_wiki = true where id = 2; table cached;
select * from lockstep.cache_column_drift('projects', 'has_external_wiki');
rollback;
-- 14: a mass update writes each project at most once, and none whose value stays
begin;
insert into integrations select 100 + n, 1, true, 'issue_tracker', null from generate_series(1, 50) n;
create temporary table before as select ctid as version from projects where id = 1;
update integrations set active = false where id between 100 and 149;
select ctid = (select version from before) as untouched from projects where id = 1;
rollback;
-- 15: an integration of a group or the instance belongs to no project
begin; insert into integrations values (3, null, true, 'issue_tracker', 'Integrations::Jira'); table cached; rollback;

-- 9 is in fire_always.sql and cache_columns.sql; 11 to 13 need two sessions and are in tests/isolation.
select status from lockstep.detach('hand');
set client_min_messages = warning;
drop schema hand cascade;
