-- Rows in the application's tables for each function of lockstep to find.
insert into namespaces (id, name, path, type, parent_id, traversal_ids, organization_id)
  values (2, 'Sub', 'sub', 'Group', 1, '{1,2}', 1);
insert into projects (id, name, path, namespace_id) values (1, 'One', 'one', 1), (2, 'Two', 'two', 2), (3, 'Three', 'three', 1);
insert into users (id, username, organization_id) values (2, 'ada', 1);
insert into integrations (id, project_id, type_new, category, active, push_events, pipeline_events)
  values (1, 1, 'Integrations::GitlabSlackApplication', 'chat', true, true, true), (2, 1, 'Integrations::ExternalWiki', 'common', true, true, true),
         (3, 2, 'Integrations::Jira', 'issue_tracker', true, true, true), (4, 2, 'Integrations::GitlabSlackApplication', 'chat', true, true, true);
insert into integrations (id, group_id, type_new, category, active) values (5, 1, 'Integrations::GitlabSlackApplication', 'chat', true);
update integrations set inherit_from_id = 5 where id = 4;
select setval('integrations_id_seq', 100);
insert into slack_integrations (id, team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, project_id)
  values (1, 'T1', 'Team', 'group-1/one', 'U1', 'B1', 'token', 'iv', now(), now(), 1, 1), (2, 'T1', 'Team', 'two', 'U1', 'B1', 'token', 'iv', now(), now(), 4, 2);
insert into slack_integrations (id, team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, group_id)
  values (3, 'T1', 'Team', 'group', 'U1', 'B1', 'token', 'iv', now(), now(), 5, 1);
select setval('slack_integrations_id_seq', 100);
insert into slack_api_scopes (id, name, organization_id) values (1, 'commands', 1), (2, 'chat:write', 1);
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id) select n, s, 1 from generate_series(1, 3) n, generate_series(1, 2) s
  on conflict do nothing;
select setval('slack_api_scopes_id_seq', 100);
insert into ai_catalog_items (id, organization_id, name, foundational_flow_reference) values (1, 1, 'item', 'flow');
insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id) values (10, 1, 1);
insert into ai_catalog_item_consumers (id, ai_catalog_item_id, group_id, service_account_id) values (11, 1, 1, 2);
alter table duo_workflows_workflows disable trigger user;
insert into duo_workflows_workflows (id, user_id, project_id, ai_catalog_item_version_id) select n, 1, 1, 10 from generate_series(1, 20) n;
insert into duo_workflows_workflows (id, user_id, namespace_id, workflow_definition) select n, 1, 2, 'flow' from generate_series(21, 40) n;
alter table duo_workflows_workflows enable trigger user;
select setval('duo_workflows_workflows_id_seq', 100);
insert into clusters (id, name) values (1, 'c'), (2, 'd');
insert into cluster_projects (project_id, cluster_id) values (1, 1), (3, 1);
insert into cluster_groups (group_id, cluster_id) values (1, 2);
insert into members (access_level, source_id, source_type, user_id) values (40, 1, 'Namespace', 2);
insert into chat_names (user_id, team_id, chat_id) values (2, 'T1', 'UADA');
insert into merge_requests (id, iid, source_project_id, target_project_id, merge_commit_sha, squash_commit_sha) values (1, 1, 1, 1, repeat('a', 40), decode(repeat('ab', 20), 'hex'));
insert into environments (id, project_id, name, slug, tier) values (1, 1, 'production', 'p', 0);
insert into deployments (id, iid, project_id, environment_id, ref, tag, sha, status, finished_at) values (1, 1, 1, 1, '15-1-stable', false, repeat('a', 40), 2, now());
insert into deployment_merge_requests (deployment_id, merge_request_id, environment_id) values (1, 1, 1);
insert into features (key, created_at, updated_at) values ('on', now(), now()), ('some', now(), now()), ('theirs', now(), now());
insert into feature_gates (feature_key, key, value, created_at, updated_at)
  values ('on', 'boolean', 'true', now(), now()), ('some', 'actors', 'Project:1', now(), now()), ('some', 'groups', 'mine', now(), now()),
         ('theirs', 'groups', 'mine', now(), now()), ('integration_slack_app_notifications', 'percentage_of_actors', '100', now(), now());
create table routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
create table redirect_routes (id bigserial primary key, source_id bigint not null, source_type varchar not null, path varchar not null);
insert into routes (source_id, source_type, path) values (1, 'Project', 'group-1/one'), (2, 'Project', 'group-1/sub/two'), (3, 'Project', 'group-1/three'),
         (1, 'Namespace', 'group-1'), (2, 'Namespace', 'group-1/sub');
insert into redirect_routes (source_id, source_type, path) values (1, 'Project', 'former/one');
create table counted (id bigint primary key, n integer not null default 0, label text);
insert into counted (id) select generate_series(1, 40);
alter table projects add column has_more boolean;
