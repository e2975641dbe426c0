-- What a careful DBA would write instead of the application's triggers: statement triggers that recompute the affected projects
-- from the transition tables and write only those that change. Fast, correct for moves, types and NULL, and still wrong when two
-- sessions race, because they read with the snapshot from before the wait.
--
-- A trigger with transition tables allows one event and no column list, so every update pays to find out that nothing changed.

create function statement_has_external_on_insert() returns trigger
  language plpgsql
as $$
begin
  update projects
  set has_external_issue_tracker = true
  where projects.id in (
    select new_rows.project_id from new_rows where new_rows.active and new_rows.category = 'issue_tracker'
  ) and projects.has_external_issue_tracker is distinct from true;

  update projects
  set has_external_wiki = true
  where projects.id in (
    select new_rows.project_id from new_rows where new_rows.active and new_rows.type_new = 'Integrations::ExternalWiki'
  ) and projects.has_external_wiki is distinct from true;
  return null;
end
$$;

-- Projects are affected if the statement changed how many of their rows match.
create function statement_has_external_on_update() returns trigger
  language plpgsql
as $$
begin
  update projects
  set has_external_issue_tracker = answer.actual
  from (
    select affected.project_id, exists (
      select from integrations
      where integrations.project_id = affected.project_id
        and integrations.active and integrations.category = 'issue_tracker'
    ) as actual
    from (
      select changed.project_id
      from (
        select old_rows.project_id, -1 as change from old_rows
        where old_rows.active and old_rows.category = 'issue_tracker'
        union all
        select new_rows.project_id, 1 from new_rows
        where new_rows.active and new_rows.category = 'issue_tracker'
      ) as changed
      where changed.project_id is not null
      group by changed.project_id
      having sum(changed.change) <> 0
    ) as affected
  ) as answer
  where projects.id = answer.project_id and projects.has_external_issue_tracker is distinct from answer.actual;

  update projects
  set has_external_wiki = answer.actual
  from (
    select affected.project_id, exists (
      select from integrations
      where integrations.project_id = affected.project_id
        and integrations.active and integrations.type_new = 'Integrations::ExternalWiki'
    ) as actual
    from (
      select changed.project_id
      from (
        select old_rows.project_id, -1 as change from old_rows
        where old_rows.active and old_rows.type_new = 'Integrations::ExternalWiki'
        union all
        select new_rows.project_id, 1 from new_rows
        where new_rows.active and new_rows.type_new = 'Integrations::ExternalWiki'
      ) as changed
      where changed.project_id is not null
      group by changed.project_id
      having sum(changed.change) <> 0
    ) as affected
  ) as answer
  where projects.id = answer.project_id and projects.has_external_wiki is distinct from answer.actual;
  return null;
end
$$;

create function statement_has_external_on_delete() returns trigger
  language plpgsql
as $$
begin
  update projects
  set has_external_issue_tracker = answer.actual
  from (
    select affected.project_id, exists (
      select from integrations
      where integrations.project_id = affected.project_id
        and integrations.active and integrations.category = 'issue_tracker'
    ) as actual
    from (
      select distinct old_rows.project_id from old_rows
      where old_rows.active and old_rows.category = 'issue_tracker' and old_rows.project_id is not null
    ) as affected
  ) as answer
  where projects.id = answer.project_id and projects.has_external_issue_tracker is distinct from answer.actual;

  update projects
  set has_external_wiki = answer.actual
  from (
    select affected.project_id, exists (
      select from integrations
      where integrations.project_id = affected.project_id
        and integrations.active and integrations.type_new = 'Integrations::ExternalWiki'
    ) as actual
    from (
      select distinct old_rows.project_id from old_rows
      where old_rows.active and old_rows.type_new = 'Integrations::ExternalWiki' and old_rows.project_id is not null
    ) as affected
  ) as answer
  where projects.id = answer.project_id and projects.has_external_wiki is distinct from answer.actual;
  return null;
end
$$;

create function statement_has_external_on_truncate() returns trigger
  language plpgsql
as $$
begin
  update projects set has_external_issue_tracker = false where projects.has_external_issue_tracker is distinct from false;
  update projects set has_external_wiki = false where projects.has_external_wiki is distinct from false;
  return null;
end
$$;

create trigger statement_has_external_on_insert
  after insert on integrations referencing new table as new_rows
  for each statement execute function statement_has_external_on_insert();

create trigger statement_has_external_on_update
  after update on integrations referencing old table as old_rows new table as new_rows
  for each statement execute function statement_has_external_on_update();

create trigger statement_has_external_on_delete
  after delete on integrations referencing old table as old_rows
  for each statement execute function statement_has_external_on_delete();

create trigger statement_has_external_on_truncate
  after truncate on integrations
  for each statement execute function statement_has_external_on_truncate();
