-- With a guard, a direct write to the cache column is corrected before the statement ends.
\pset null null
create schema guarded;
set search_path = guarded;
create table projects (id bigint primary key, name text, has_wiki boolean);
create table integrations (project_id bigint references projects on delete cascade, active boolean);
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}', guard => true) > 0 as added;
select guard, state from lockstep.cache_columns;

-- New rows: false whatever the statement says, because nothing refers to them yet.
insert into projects values (1, 'null', null), (2, 'true', true), (3, 'false', false);
copy projects from stdin;
4	true	t
\.
select * from projects order by id;
insert into integrations values (1, true), (2, false);

-- Every kind of write, to any value, in one row and in many. RETURNING still shows what the statement wrote.
update projects set has_wiki = false where id = 1 returning *;
update projects set has_wiki = true where id = 2;
update projects set has_wiki = null;
update projects set has_wiki = not has_wiki, name = 'changed';
insert into projects values (2, 'conflict', true), (5, 'no conflict', true)
  on conflict (id) do update set has_wiki = excluded.has_wiki, name = excluded.name;
insert into projects values (1, 'conflict', true) on conflict (id) do update set has_wiki = null;
merge into projects p using (values (1), (3)) as v (id) on p.id = v.id when matched then update set has_wiki = (p.id = 3);
select * from projects order by id;

-- The column still follows the source, also in the same statement.
with written as (update projects set has_wiki = false where id = 3)
insert into integrations values (3, true);
update integrations set active = not active;
select * from projects order by id;

-- An application trigger that writes the column is overruled: here the one that copies the value from the row.
create function application() returns trigger language plpgsql as $$
begin
  update projects set has_wiki = new.active where id = new.project_id;
  return null;
end $$;
create trigger application after insert or update on integrations for each row execute function application();
insert into integrations values (2, false), (1, true), (1, false);
update integrations set active = false where project_id = 2;
select * from projects order by id;
drop trigger application on integrations;

select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
set client_min_messages = warning;
drop schema guarded cascade;
