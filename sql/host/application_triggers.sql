-- The application's own row triggers on integrations, with their names and behavior: the tracker's function queries the value,
-- the wiki's copies it from the current row, and both write the project even if nothing changes.

create function set_has_external_issue_tracker() returns trigger
  language plpgsql
as $$
declare
  affected bigint := coalesce(new.project_id, old.project_id);
begin
  update projects
  set has_external_issue_tracker = exists (
    select from integrations
    where integrations.project_id = affected and integrations.active and integrations.category = 'issue_tracker'
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
  after insert on integrations for each row
  when (new.category = 'issue_tracker' and new.active and new.project_id is not null)
  execute function set_has_external_issue_tracker();

create trigger trigger_has_external_issue_tracker_on_update
  after update on integrations for each row
  when (new.category = 'issue_tracker' and old.active <> new.active and new.project_id is not null)
  execute function set_has_external_issue_tracker();

create trigger trigger_has_external_issue_tracker_on_delete
  after delete on integrations for each row
  when (old.category = 'issue_tracker' and old.active and old.project_id is not null)
  execute function set_has_external_issue_tracker();

create trigger trigger_has_external_wiki_on_insert
  after insert on integrations for each row
  when (new.active and new.type_new = 'Integrations::ExternalWiki' and new.project_id is not null)
  execute function set_has_external_wiki();

create trigger trigger_has_external_wiki_on_update
  after update on integrations for each row
  when (new.type_new = 'Integrations::ExternalWiki' and old.active <> new.active and new.project_id is not null)
  execute function set_has_external_wiki();

create trigger trigger_has_external_wiki_on_type_new_updated
  after update of type_new on integrations for each row
  when (new.type_new = 'Integrations::ExternalWiki' and new.project_id is not null)
  execute function set_has_external_wiki();

create trigger trigger_has_external_wiki_on_delete
  after delete on integrations for each row
  when (old.type_new = 'Integrations::ExternalWiki' and old.project_id is not null)
  execute function set_has_external_wiki();
