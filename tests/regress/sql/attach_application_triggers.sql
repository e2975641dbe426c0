-- The application has triggers of its own on these columns. attach does not replace them silently: it reports them and offers to
-- disable them.
\pset null null
create schema app;
set search_path = app;
create table projects (id bigint primary key, has_external_wiki boolean, has_external_issue_tracker boolean);
create table integrations (
  id bigint generated always as identity primary key,
  project_id bigint references projects on delete cascade,
  active boolean not null default false,
  category varchar not null default 'common',
  type_new text
);
create index on integrations (project_id);

-- Short versions of GitLab's: see sql/host/application_triggers.sql for the full ones.
create function set_has_external_wiki() returns trigger language plpgsql as $$
begin
  raise notice 'the application''s trigger fires';
  update projects set has_external_wiki = coalesce(new.active, false) where id = coalesce(new.project_id, old.project_id);
  return null;
end $$;
create trigger trigger_has_external_wiki_on_insert after insert on integrations
  for each row when (new.active and new.type_new = 'Integrations::ExternalWiki') execute function set_has_external_wiki();
create trigger trigger_has_external_wiki_on_delete after delete on integrations
  for each row when (old.type_new = 'Integrations::ExternalWiki') execute function set_has_external_wiki();
-- One that somebody has already disabled; attach and detach leave it alone.
create trigger trigger_has_external_wiki_on_update after update on integrations
  for each row execute function set_has_external_wiki();
alter table integrations disable trigger trigger_has_external_wiki_on_update;
create view triggers as
  select tgname, tgenabled from pg_trigger where tgrelid = 'app.integrations'::regclass and tgname ~ '^trigger_' order by tgname collate "C";

-- One feature is attached, the other is skipped: nothing else writes has_external_issue_tracker.
select * from lockstep.attach('app');
table triggers;
select target_column, state from lockstep.cache_columns;

-- As offered.
select * from lockstep.attach('app', disable_application_triggers => true);
table triggers;
select target_column, state from lockstep.cache_columns order by 1;

-- No notice: the application's triggers no longer fire, and the column is maintained.
insert into projects values (1);
insert into integrations (project_id, active, type_new) values (1, true, 'Integrations::ExternalWiki');
select * from projects;

-- Again: nothing changes, and the disabled triggers are still known.
select * from lockstep.attach('app', disable_application_triggers => true);
select * from lockstep.detach('app');
table triggers;
delete from integrations;

-- A new release of the application restores its triggers. attach reports and disables them again, and detach enables each once.
select status from lockstep.attach('app', disable_application_triggers => true);
alter table integrations enable trigger trigger_has_external_wiki_on_delete;
select * from lockstep.attach('app');
table triggers;
select * from lockstep.attach('app', disable_application_triggers => true);
table triggers;
select * from lockstep.detach('app');
table triggers;

-- The application's next release has fewer triggers than attach disabled: the remaining ones are still enabled.
select status from lockstep.attach('app', disable_application_triggers => true);
drop trigger trigger_has_external_wiki_on_insert on integrations;
select * from lockstep.detach('app');
table triggers;

-- Each gets back the state that it had. One that fires for replicas only writes nothing here, and is left alone.
alter table integrations enable always trigger trigger_has_external_wiki_on_delete;
alter table integrations enable replica trigger trigger_has_external_wiki_on_update;
select * from lockstep.attach('app', disable_application_triggers => true);
table triggers;
select * from lockstep.detach('app');
table triggers;

-- One that is renamed meanwhile is not found; detach says what may be it.
select status from lockstep.attach('app', disable_application_triggers => true);
alter trigger trigger_has_external_wiki_on_delete on integrations rename to has_external_wiki_on_delete;
select * from lockstep.detach('app');
select tgname, tgenabled from pg_trigger where tgrelid = 'app.integrations'::regclass and not tgisinternal order by tgname collate "C";

set client_min_messages = warning;
drop schema app cascade;
