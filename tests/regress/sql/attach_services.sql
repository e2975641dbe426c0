-- Until 14.x the table was called services, its types XxxService, and its key was an integer.
\pset null null
alter table lockstep_internal.cache_column_definition alter column id restart;
create schema old;
set search_path = old;
create table projects (id bigint primary key, has_external_wiki boolean, has_external_issue_tracker boolean);
create table services (
  id serial primary key,
  type varchar,
  project_id integer references projects on delete cascade,
  active boolean not null default false,
  category varchar not null default 'common'
);
create index on services (project_id, type);

select * from lockstep.attach('old');
select target_column, source_table, match, state from lockstep.cache_columns order by target_column;
insert into projects select generate_series(1, 3);
insert into services (project_id, active, type, category) values
  (1, true, 'ExternalWikiService', 'common'), (2, true, 'JiraService', 'issue_tracker'), (3, false, 'ExternalWikiService', 'common');
select * from projects order by id;

-- The application renames the table and leaves a view under the old name for the release that is still running. The triggers move
-- with the table; writes through the view reach it too.
begin;
alter table services rename to integrations;
create view services as table integrations;
commit;
select target_column, source_table, state from lockstep.cache_columns order by target_column;
update integrations set active = true where project_id = 3;
update services set project_id = 3 where project_id = 2;
select * from projects order by id;
select * from lockstep.attach('old');

-- A session that attaches only now finds the table, not the view.
select * from lockstep.detach('old');
select * from lockstep.attach('old');
select target_column, source_table, match from lockstep.cache_columns order by target_column;

-- Then type_new replaces type. Dropping the old column needs cascade, because triggers depend on it ...
alter table integrations add column type_new text;
update integrations set type_new = 'Integrations::' || replace(type, 'Service', '');
create index on integrations (project_id, type_new);
alter table integrations drop column type;
drop view services;
alter table integrations drop column type cascade;
select target_column, state from lockstep.cache_columns order by target_column;
-- ... and attach creates the definition again.
select * from lockstep.attach('old');
select target_column, match, state from lockstep.cache_columns order by target_column;
delete from integrations where project_id = 1;
select * from projects order by id;
select * from lockstep.cache_column_drift('projects', 'has_external_wiki');
select * from lockstep.cache_column_drift('projects', 'has_external_issue_tracker');

select * from lockstep.detach('old');
set client_min_messages = warning;
drop schema old cascade;
