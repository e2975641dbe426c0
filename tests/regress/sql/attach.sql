-- lockstep.attach finds the application's tables and maintains two columns of projects from then on.
\pset null null
alter table lockstep_internal.cache_column_definition alter column id restart;

insert into projects (id, name, namespace_id) values (1, 'older than lockstep', 1);
insert into integrations (project_id, active, type_new) values (1, true, 'Integrations::ExternalWiki');

select * from lockstep.attach();
select id, target_table, target_column, source_table, key_column, match, guard, fire_always, origin, state
from lockstep.cache_columns order by id;

-- What fires, and when: an update of any other column costs nothing.
select tgrelid::regclass as on_table, tgname as trigger, substring(pg_get_triggerdef(oid) from '((?:BEFORE|AFTER) .*) ON') as fires,
       substring(pg_get_triggerdef(oid) from 'FOR EACH (ROW|STATEMENT)') as for_each, tgfoid::regproc as function
from pg_trigger where tgname ~ '^lockstep_' order by 1, tgname collate "C";

-- Rows that were already wrong stay wrong; lockstep.cache_column_drift finds them.
select id, has_external_wiki, has_external_issue_tracker from projects;
select * from lockstep.cache_column_drift('projects', 'has_external_wiki');
select lockstep.repair_cache_column('projects', 'has_external_wiki');

-- From now on the columns follow the integrations. A new project has false, not null.
insert into projects (id, name, namespace_id) values (2, 'new', 1);
insert into integrations (project_id, active, type_new, category) values (2, true, 'Integrations::Jira', 'issue_tracker');
select id, has_external_wiki, has_external_issue_tracker from projects order by id;
delete from integrations;
select id, has_external_wiki, has_external_issue_tracker from projects order by id;

-- Calling it again changes nothing: no trigger or definition is rewritten.
create view versions as
  select tgname::text as object, xmin::text as version from pg_trigger where tgname ~ '^lockstep_'
  union all select target_column, xmin::text from lockstep_internal.cache_column_definition;
create temporary table before as table versions;
select * from lockstep.attach();
select count(*) as written from (table versions except table before) as changed;
drop view versions;

-- A dropped trigger is restored.
drop trigger lockstep_changed on integrations;
select target_column, state from lockstep.cache_columns order by id;
select * from lockstep.attach();
select target_column, state from lockstep.cache_columns order by id;

-- detach removes all triggers and leaves the columns as they are.
select * from lockstep.detach();
select count(*) as triggers from pg_trigger where tgname ~ 'lockstep';
table lockstep.cache_columns;
insert into integrations (project_id, active, type_new) values (1, true, 'Integrations::ExternalWiki');
select id, has_external_wiki, has_external_issue_tracker from projects order by id;
select * from lockstep.detach();

-- A column that a user defined belongs to that user: attach and detach leave it alone.
select lockstep.add_cache_column('projects', 'has_external_wiki', source => 'integrations', key => 'project_id',
                                 match => '{"type_new": "Integrations::Confluence"}');
select * from lockstep.attach();
select * from lockstep.detach();
select target_column, match, origin, state from lockstep.cache_columns;
select lockstep.remove_cache_column('projects', 'has_external_wiki');

delete from projects;
