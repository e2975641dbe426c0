-- attach installs what it can and reports what is missing.
create schema part;
set search_path = part;

-- No such schema.
select * from lockstep.attach('nowhere');
\echo :SQLSTATE
select * from lockstep.detach('nowhere');
\echo :SQLSTATE

-- No tables.
select * from lockstep.attach('part');
select * from lockstep.detach('part');

-- No projects.
create table integrations (id bigint primary key, project_id bigint, active boolean, category varchar, type_new text);
select * from lockstep.attach('part');

-- Projects with one of the two columns, and integrations without an index on project_id: the detail says what to do.
create table projects (id bigint primary key, has_external_wiki boolean);
select * from lockstep.attach('part');
create index on integrations (project_id);
select * from lockstep.attach('part');

-- The other column arrives with a later release of the application.
alter table projects add column has_external_issue_tracker boolean;
select * from lockstep.attach('part');
select target_column, state from lockstep.cache_columns order by id;
select status from lockstep.detach('part');

-- A column of another type than the application's is skipped too, and so is a category that is not a value of its type. The
-- failed check leaves nothing behind in the session.
alter table projects alter column has_external_wiki type integer using 1;
create type category as enum ('common', 'chat');
alter table integrations alter column category type category using 'common';
begin;
select * from lockstep.attach('part');
savepoint one;
select * from lockstep.attach('part');
rollback to one;
commit;
table lockstep.cache_columns;

-- attach does not accept a view named integrations.
drop table integrations;
create view integrations as select 1::bigint as id, 1::bigint as project_id, true as active, ''::text as type_new;
select * from lockstep.attach('part');

set client_min_messages = warning;
drop schema part cascade;
