-- The scenarios of GitLab's tests for its own has_external_issue_tracker trigger (A.1 to A.16), one project at a time. Project 1
-- is watched; changes to project 2 must never affect it.
select status from lockstep.attach();
insert into projects (id, namespace_id) values (1, 1), (2, 1);
create procedure tracker(project bigint, active boolean, type text default 'Jira') language sql as $$
  insert into integrations (project_id, active, category, type_new) values (project, active, 'issue_tracker', 'Integrations::' || type)
$$;
create view watched as select has_external_issue_tracker from projects where id = 1;

-- insert: A.1 active tracker, A.2 of the other project, A.3 inactive, A.4 active but no tracker
begin; call tracker(1, true); table watched; rollback;
begin; call tracker(2, true); table watched; rollback;
begin; call tracker(1, false); table watched; rollback;
begin; insert into integrations (project_id, active, category) values (1, true, 'chat'); table watched; rollback;

-- update: A.5 made active, A.6 made inactive
begin;
call tracker(1, false);
update integrations set active = true where project_id = 1; table watched;
update integrations set active = false where project_id = 1; table watched;
rollback;

-- update: A.7 made inactive beside an inactive one, A.8 beside an active one, A.9 of the other project
begin;
call tracker(1, true); call tracker(1, false, 'Redmine');
update integrations set active = false where type_new = 'Integrations::Jira'; table watched;
rollback;
begin;
call tracker(1, true); call tracker(1, true, 'Redmine');
update integrations set active = false where type_new = 'Integrations::Jira'; table watched;
rollback;
begin;
call tracker(1, false); call tracker(2, false);
update integrations set active = true where project_id = 2; table watched;
rollback;

-- delete: A.10 the only one, A.11 an inactive one remains, A.12 an active one remains, A.13 of the other project
begin; call tracker(1, true); delete from integrations; table watched; rollback;
begin;
call tracker(1, true); call tracker(1, false, 'Redmine');
delete from integrations where type_new = 'Integrations::Jira'; table watched;
rollback;
begin;
call tracker(1, true); call tracker(1, true, 'Redmine');
delete from integrations where type_new = 'Integrations::Jira'; table watched;
rollback;
begin;
call tracker(1, true); call tracker(2, true);
delete from integrations where project_id = 2; table watched;
rollback;

-- detached: A.14 insert, A.15 update, A.16 delete change nothing
call tracker(1, true);
select status from lockstep.detach();
call tracker(2, true);
select has_external_issue_tracker from projects where id = 2;
update integrations set active = false; table watched;
delete from integrations; table watched;

drop view watched;
drop procedure tracker;
delete from projects;
