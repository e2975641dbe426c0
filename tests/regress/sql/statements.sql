-- Every kind of statement that can change a source row.
\pset null null
create schema statements;
set search_path = statements;
create table projects (id bigint primary key, has_wiki boolean);
create table integrations (
  id bigint primary key,
  project_id bigint references projects on delete cascade on update cascade,
  active boolean not null,
  parent_id bigint references integrations on delete cascade,
  name text
);
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
insert into projects select generate_series(1, 3);
-- The maintained values next to freshly computed ones.
create view compared as
  select p.id, p.has_wiki as cached, exists (select from integrations i where i.project_id = p.id and i.active) as actual
  from projects p order by p.id;

-- copy
copy integrations from stdin;
1	1	t	\N	\N
2	2	f	\N	\N
3	\N	t	\N	\N
\.
table compared;

-- insert on conflict do update, do nothing
insert into integrations values (1, 1, false), (2, 2, true) on conflict (id) do update set active = excluded.active;
table compared;
insert into integrations values (1, 1, true), (4, 3, true) on conflict do nothing;
table compared;

-- merge: one of each kind
merge into integrations i
using (values (1, true), (2, false), (4, false), (5, true)) as wanted (id, active) on i.id = wanted.id
when matched and wanted.id = 4 then delete
when matched then update set active = wanted.active
when not matched then insert values (wanted.id, 3, wanted.active);
table compared;

-- a statement that does several things at once
with moved as (delete from integrations where id = 1 returning *)
insert into integrations select 10, 2, active from moved;
table compared;
with renamed as (update projects set id = id returning id)
update integrations set active = not active where project_id in (select id from renamed);
table compared;

-- update from a join, in a function, through a view
update integrations i set active = true from projects p where p.id = i.project_id and p.id = 2;
table compared;
create procedure deactivate(project bigint) language sql as $$
  update integrations set active = false where project_id = project
$$;
call deactivate(2);
table compared;
create view active_integrations as select id, project_id, active from integrations where active;
insert into active_integrations values (20, 1, true);
table compared;
delete from active_integrations;
table compared;

-- cascades: of the source itself, and of the target
insert into integrations values (30, 1, true, null), (31, 2, true, 30), (32, 3, true, 31);
table compared;
delete from integrations where id = 30;
table compared;
insert into integrations values (30, 1, true, null), (31, 2, true, 30);
delete from projects where id = 1;
table compared;
select id, project_id from integrations where active;

-- the key of a target changes, and its source rows follow
insert into integrations values (40, 2, true);
update projects set id = 4 where id = 2;
table compared;

-- unchanged rows and irrelevant columns are not written
create temporary table before as select id, ctid as version from projects;
update integrations set active = active, project_id = project_id, name = 'renamed';
update integrations set active = false where active is null;
select p.id, p.ctid = b.version as untouched from projects p join before b using (id) order by id;

-- truncate, alone and together with the target
truncate integrations;
table compared;
insert into integrations values (50, 3, true);
truncate projects, integrations;
table compared;

-- a prepared statement, across a change of the table
insert into projects values (1);
prepare add (bigint) as insert into integrations values ($1, 1, true);
execute add(60);
alter table integrations add column note text;
delete from integrations;
execute add(61);
table compared;

select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
deallocate add;
set client_min_messages = warning;
drop schema statements cascade;
