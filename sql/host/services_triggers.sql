-- The application's own row triggers on services, before the table was renamed.

create function set_has_external_issue_tracker() returns trigger
  language plpgsql
as $$
declare
  affected bigint := coalesce(new.project_id, old.project_id);
begin
  update projects
  set has_external_issue_tracker = exists (
    select from services
    where services.project_id = affected and services.active and services.category = 'issue_tracker'
  )
  where projects.id = affected;
  return null;
end
$$;

create function set_has_external_wiki() returns trigger
  language plpgsql
as $$
begin
  update projects
  set has_external_wiki = coalesce(new.active, false)
  where projects.id = coalesce(new.project_id, old.project_id);
  return null;
end
$$;

create trigger trigger_has_external_issue_tracker_on_insert
  after insert on services for each row
  when (new.category = 'issue_tracker' and new.active and new.project_id is not null)
  execute function set_has_external_issue_tracker();

create trigger trigger_has_external_issue_tracker_on_update
  after update on services for each row
  when (new.category = 'issue_tracker' and old.active <> new.active and new.project_id is not null)
  execute function set_has_external_issue_tracker();

create trigger trigger_has_external_issue_tracker_on_delete
  after delete on services for each row
  when (old.category = 'issue_tracker' and old.active and old.project_id is not null)
  execute function set_has_external_issue_tracker();

create trigger trigger_has_external_wiki_on_insert
  after insert on services for each row
  when (new.active and new.type = 'ExternalWikiService' and new.project_id is not null)
  execute function set_has_external_wiki();

create trigger trigger_has_external_wiki_on_update
  after update on services for each row
  when (new.type = 'ExternalWikiService' and old.active <> new.active and new.project_id is not null)
  execute function set_has_external_wiki();

create trigger trigger_has_external_wiki_on_delete
  after delete on services for each row
  when (old.type = 'ExternalWikiService' and old.project_id is not null)
  execute function set_has_external_wiki();
