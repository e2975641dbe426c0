-- Application triggers on the same tables. What they change counts, whether or not the statement named it.
create schema host;
set search_path = host;
create table projects (id bigint primary key, has_wiki boolean);
create table integrations (id bigint primary key, project_id bigint references projects, active boolean, type text, type_new text);
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true, "type_new": "Wiki"}') > 0 as added;
insert into projects values (1), (2);

-- BEFORE INSERT fills in a column of the match; BEFORE UPDATE changes one although the statement names another.
create function set_type_new() returns trigger language plpgsql as $$
begin
  new.type_new := replace(new.type, 'Service', '');
  return new;
end $$;
create trigger set_type_new before insert or update on integrations for each row execute function set_type_new();
-- The triggers of an older definition miss its changes, which the state shows; those of a newer definition do not.
select state from lockstep.cache_columns;
select lockstep.remove_cache_column('projects', 'has_wiki');
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true, "type_new": "Wiki"}') > 0 as added;
select state from lockstep.cache_columns;
insert into integrations (id, project_id, active, type) values (1, 1, true, 'WikiService');
select * from projects order by id;
update integrations set type = 'ChatService';
select * from projects order by id;
update integrations set type = 'WikiService';
select * from projects order by id;
select * from lockstep.cache_column_drift('projects', 'has_wiki') order by key;
drop trigger set_type_new on integrations;

-- AFTER INSERT updates the row just inserted, as the application once did to fill in type_new.
create function set_type_new_after() returns trigger language plpgsql as $$
begin
  update integrations set type_new = replace(new.type, 'Service', '') where id = new.id;
  return null;
end $$;
create trigger set_type_new_after after insert on integrations for each row execute function set_type_new_after();
delete from integrations;
insert into integrations values (2, 2, true, 'WikiService', null);
select * from projects order by id;
-- It removes the match again, in the same statement.
insert into integrations values (3, 1, true, 'ChatService', 'Wiki');
select * from projects order by id;
drop trigger set_type_new_after on integrations;

-- BEFORE triggers that suppress the row: nothing happens.
create function suppress() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger suppress before insert or update or delete on integrations for each row execute function suppress();
insert into integrations values (4, 1, true, 'WikiService', 'Wiki');
update integrations set active = false;
delete from integrations;
select * from projects order by id;
drop trigger suppress on integrations;

-- A trigger on the target that writes the source: the flush leads to another flush.
create function end_others() returns trigger language plpgsql as $$
begin
  delete from integrations where project_id <> new.id;
  return null;
end $$;
create trigger end_others after update of has_wiki on projects for each row when (new.has_wiki) execute function end_others();
insert into integrations values (5, 1, true, 'WikiService', 'Wiki');
select * from projects order by id;
select id, project_id from integrations order by id;
drop trigger end_others on projects;

-- A trigger that raises an error: the whole statement fails.
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'projects are frozen'; end $$;
create trigger refuse before update on projects for each row execute function refuse();
delete from integrations where project_id = 1;
select id, project_id from integrations order by id;
drop trigger refuse on projects;

-- A rule that turns a delete into an update.
create rule soft as on delete to integrations do instead update integrations set active = false where id = old.id;
delete from integrations;
select * from projects order by id;
drop rule soft on integrations;

select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
set client_min_messages = warning;
drop schema host cascade;
