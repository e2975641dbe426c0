-- The scenarios of GitLab's tests for its own has_external_wiki trigger (B.1 to B.12). Project 1 is watched.
select status from lockstep.attach();
insert into projects (id, namespace_id) values (1, 1), (2, 1);
create procedure wiki(project bigint, active boolean, type text default 'Integrations::ExternalWiki') language sql as $$
  insert into integrations (project_id, active, type_new) values (project, active, type)
$$;
create view watched as select has_external_wiki from projects where id = 1;

-- insert: B.1 active wiki, B.2 of the other project, B.3 inactive, B.4 active but of another type
begin; call wiki(1, true); table watched; rollback;
begin; call wiki(2, true); table watched; rollback;
begin; call wiki(1, false); table watched; rollback;
begin; call wiki(1, true, 'Integrations::Confluence'); table watched; rollback;

-- update: B.5 made active, B.6 made inactive, B.7 of the other project
begin;
call wiki(1, false);
update integrations set active = true; table watched;
update integrations set active = false; table watched;
rollback;
begin;
call wiki(1, false); call wiki(2, false);
update integrations set active = true where project_id = 2; table watched;
rollback;

-- delete: B.8 the only one, B.9 of the other project
begin; call wiki(1, true); delete from integrations; table watched; rollback;
begin; call wiki(1, true); call wiki(2, true); delete from integrations where project_id = 2; table watched; rollback;

-- type_new filled in after the insert, as the application once did by a trigger
begin;
call wiki(1, true, null); table watched;
update integrations set type_new = 'Integrations::ExternalWiki'; table watched;
rollback;

-- detached: B.10 insert, B.11 update, B.12 delete change nothing
call wiki(1, true);
select status from lockstep.detach();
call wiki(2, true);
select has_external_wiki from projects where id = 2;
update integrations set active = false; table watched;
delete from integrations; table watched;

drop view watched;
drop procedure wiki;
delete from projects;
