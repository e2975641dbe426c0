-- Service accounts of workflows: each step of the resolution, the trigger, and filling existing rows.
begin;
insert into users (id, organization_id) values (7, 1), (8, 1);
insert into namespaces (id, name, path, type, traversal_ids, organization_id) values
  (2, 'sub', 'sub', 'Group', '{1,2}', 1), (3, 'three', 'three', 'Group', '{3}', 1), (4, 'old', 'old', 'Group', '{}', 1);
insert into projects (id, namespace_id) values (1, 2);
insert into ai_catalog_items (id, organization_id, foundational_flow_reference) values (1, 1, 'software_development'), (2, 1, null);
insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id) values (20, 1, 2);
insert into ai_catalog_item_consumers (id, ai_catalog_item_id, group_id, service_account_id) values (11, 1, 1, 7), (13, 1, 3, null);
insert into duo_workflows_workflows (id, user_id, project_id, namespace_id, workflow_definition, ai_catalog_item_version_id) values
  (1, 1, 1, null, 'software_development', 99),
  (2, 1, 1, null, 'unknown', null),
  (3, 1, null, 4, 'software_development', null),
  (4, 1, 1, null, 'software_development', 20),
  (5, 1, null, 3, 'software_development', null);

-- The expected accounts, and why.
select * from lockstep.explain_service_account(1);
select * from lockstep.explain_service_account(2);
select * from lockstep.explain_service_account(3);
select * from lockstep.explain_service_account(4);
select * from lockstep.explain_service_account(5);
select lockstep.resolve_service_account(null, 'software_development', null, 2) as found,
       lockstep.resolve_service_account(20, 'software_development', null, 2) as of_version,
       lockstep.resolve_service_account(null, null, null, null) as of_nothing;

-- Existing rows.
select * from lockstep.fill_service_accounts(1, 5);
select * from lockstep.fill_service_accounts(1, 5);
select id, service_account_id from duo_workflows_workflows order by id;
select * from lockstep.explain_service_account(1) limit 1;

-- New rows.
select * from lockstep.attach() where feature ~ '^duo';
select pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'duo_workflows_workflows'::regclass and not tgisinternal;
insert into duo_workflows_workflows (id, user_id, project_id, service_account_id) values (6, 1, 1, null), (7, 1, 1, 8)
returning id, service_account_id;
select * from lockstep.detach_service_accounts();
insert into duo_workflows_workflows (id, user_id, project_id) values (8, 1, 1) returning service_account_id;
select * from lockstep.attach() where feature ~ '^duo';
select * from lockstep.detach() where feature ~ '^duo';

savepoint one;
select * from lockstep.explain_service_account(99);
\echo :SQLSTATE
rollback to one;
select * from lockstep.fill_service_accounts(null, 5);
rollback to one;
rollback;
