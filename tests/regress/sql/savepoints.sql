-- A rollback to a savepoint also undoes the cache column, and nothing else.
create schema points;
set search_path = points;
create table projects (id bigint primary key, has_wiki boolean);
create table integrations (id bigint primary key, project_id bigint references projects, active boolean);
create index on integrations (project_id);
select lockstep.add_cache_column('projects', 'has_wiki', 'integrations', 'project_id', '{"active": true}') > 0 as added;
insert into projects select generate_series(1, 4);
create view cached as select string_agg(id || case when has_wiki then ' true' else ' false' end, ', ' order by id) as projects from projects;

begin;
insert into integrations values (1, 1, true);
savepoint a;
insert into integrations values (2, 2, true);
delete from integrations where id = 1;
savepoint b;
update integrations set project_id = 3;
table cached;
rollback to b;
table cached;
release b;
rollback to a;
table cached;
insert into integrations values (3, 4, true);
release a;
commit;
table cached;

-- A failing statement undoes its changes, and the next one continues.
begin;
savepoint a;
insert into integrations values (4, 2, true), (1, 3, true);
rollback to a;
insert into integrations values (4, 3, true);
commit;
table cached;

-- Exceptions in PL/pgSQL are savepoints; here one is raised while rows of the outer statement are being processed.
create function host() returns trigger language plpgsql as $$
begin
  begin
    insert into integrations values (100 + new.id, 2, true);
    if new.id <> 6 then
      raise exception 'never mind';
    end if;
  exception when raise_exception then
    null;
  end;
  return null;
end $$;
create trigger host after insert on integrations for each row when (new.id < 100) execute function host();
insert into integrations values (5, 1, true), (6, 1, true), (7, 1, true);
select id, project_id from integrations where id >= 5 order by id;
table cached;
delete from integrations;
table cached;
begin;
insert into integrations values (8, 2, true);
rollback;
table cached;

select * from lockstep.cache_column_drift('projects', 'has_wiki');
select lockstep.remove_cache_column('projects', 'has_wiki');
set client_min_messages = warning;
drop schema points cascade;
