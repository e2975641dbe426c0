-- The view lockstep.cache_columns shows for each definition whether it works.
create schema states;
set search_path = states;
create table projects (id bigint primary key, has_wiki boolean);
create table integrations (project_id bigint, active boolean);
create index on integrations (project_id);
table lockstep.cache_columns;
alter table lockstep_internal.cache_column_definition alter column id restart;
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}', guard => true);
table lockstep.cache_columns;

create view state as select state from lockstep.cache_columns;

-- Each trigger matters, on the source and on the target.
begin; drop trigger lockstep_changed on integrations; table state; rollback;
begin; drop trigger lockstep_flush on integrations; table state; rollback;
begin; drop trigger lockstep_truncated on integrations; table state; rollback;
begin; drop trigger lockstep_1_default on projects; table state; rollback;
begin; drop trigger lockstep_1_guard on projects; table state; rollback;
begin; drop trigger lockstep_1_arrived on projects; table state; rollback;
begin; drop trigger lockstep_1_rekeyed on projects; table state; rollback;
begin; drop trigger lockstep_flush on projects; table state; rollback;

-- Other users' triggers do not count.
begin;
drop trigger lockstep_changed on integrations;
create trigger lockstep_1_changed after delete on integrations for each statement execute function lockstep_internal.flush();
table state;
rollback;

-- Disabled: one, all, on the target.
begin; alter table integrations disable trigger lockstep_changed; table state; rollback;
begin; alter table integrations disable trigger lockstep_flush; table state; rollback;
begin; alter table integrations disable trigger all; table state; rollback;
begin; alter table projects disable trigger user; table state; rollback;
-- Enabled for replicas only means disabled for everyone else.
begin; alter table integrations enable replica trigger lockstep_changed; table state; rollback;

-- While only the flush is disabled, a transaction that would leave a wrong value cannot commit.
begin;
insert into projects values (1);
alter table integrations disable trigger lockstep_flush;
insert into integrations values (1, true);
commit;
\echo :SQLSTATE
select count(*) from projects;

-- While the row triggers are disabled, nothing is noticed. drift finds it, repair corrects it.
insert into projects values (1);
alter table integrations disable trigger user;
insert into integrations values (1, true);
select * from lockstep.cache_column_drift('projects', 'has_wiki');
alter table integrations enable trigger user;
table state;
select lockstep.repair_cache_column('projects', 'has_wiki');

-- Missing objects.
begin; set local client_min_messages = warning; alter table projects drop column has_wiki cascade; table state; rollback;
begin; set local client_min_messages = warning; alter table integrations drop column active cascade; table state; rollback;
begin; drop table integrations; table state; rollback;
begin; drop table projects; table state; rollback;

-- Everyone may read it.
set role pg_read_all_settings;
select target_table::text, state from lockstep.cache_columns;
reset role;

select lockstep.remove_cache_column('projects', 'has_wiki');
table lockstep.cache_columns;
set client_min_messages = warning;
drop schema states cascade;
