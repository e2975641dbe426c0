-- A few rows for the examples in the documentation. One cache column is wrong, as hand-written triggers leave it.

insert into projects (id, name, path, namespace_id) values (42, 'Docs', 'docs', 1), (43, 'Site', 'site', 1);
insert into integrations (id, project_id, type_new, category, active) values (5, 42, 'Integrations::ExternalWiki', 'common', true);

-- Group 1 uses catalog item 3 with account 7. Nobody uses the item of workflow 2.
insert into users (id, username, name, organization_id) values (2, 'ada', 'Ada', 1), (7, 'duo-bot', 'Duo', 1);
insert into ai_catalog_items (id, organization_id, name, foundational_flow_reference)
values (3, 1, 'Code review', 'code_review'), (4, 1, 'Chat', 'chat');
insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id) values (10, 1, 3);
insert into ai_catalog_item_consumers (id, ai_catalog_item_id, group_id, enabled, service_account_id) values (11, 3, 1, true, 7);
insert into duo_workflows_workflows (id, user_id, project_id, workflow_definition, ai_catalog_item_version_id)
values (1, 2, 42, 'code_review', 10), (2, 2, 43, 'chat', null);

-- The Slack app is active in project 42, and not connected to a workspace yet.
insert into integrations (id, project_id, type_new, category, active, pipeline_events)
values (8, 42, 'Integrations::GitlabSlackApplication', 'chat', true, true);

select setval('projects_id_seq', 43), setval('integrations_id_seq', 8), setval('users_id_seq', 7), setval('ai_catalog_items_id_seq', 4),
       setval('ai_catalog_item_versions_id_seq', 10), setval('ai_catalog_item_consumers_id_seq', 11),
       setval('duo_workflows_workflows_id_seq', 2);
