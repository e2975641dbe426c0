-- 100,000 projects in 2,000 groups, with integrations of the types GitLab has. Nothing is random: every run creates the same
-- rows.

insert into namespaces (id, name, path, type, traversal_ids, organization_id)
select id, 'group ' || id, 'group-' || id, 'Group', array[id], 1
from generate_series(2, 2000) as id;
select setval('namespaces_id_seq', 2000);

-- share: how many of a thousand projects have this type. active: how many of ten such rows are active.
create temporary table kinds (number integer, type_new text, category text, share integer, active integer);
insert into kinds values
  (1, 'Integrations::Jira', 'issue_tracker', 150, 8),
  (2, 'Integrations::Bugzilla', 'issue_tracker', 40, 5),
  (3, 'Integrations::Redmine', 'issue_tracker', 40, 6),
  (4, 'Integrations::CustomIssueTracker', 'issue_tracker', 30, 5),
  (5, 'Integrations::Ewm', 'issue_tracker', 20, 5),
  (6, 'Integrations::Youtrack', 'issue_tracker', 50, 7),
  (7, 'Integrations::Clickup', 'issue_tracker', 30, 6),
  (8, 'Integrations::PhorgeIntegration', 'issue_tracker', 10, 4),
  (9, 'Integrations::Slack', 'chat', 200, 9),
  (10, 'Integrations::Mattermost', 'chat', 80, 7),
  (11, 'Integrations::MicrosoftTeams', 'chat', 120, 8),
  (12, 'Integrations::Discord', 'chat', 90, 7),
  (13, 'Integrations::Jenkins', 'ci', 100, 6),
  (14, 'Integrations::Teamcity', 'ci', 30, 5),
  (15, 'Integrations::Bamboo', 'ci', 20, 4),
  (16, 'Integrations::Buildkite', 'ci', 20, 5),
  (17, 'Integrations::DroneCi', 'ci', 20, 5),
  (18, 'Integrations::Prometheus', 'monitoring', 150, 9),
  (19, 'Integrations::ExternalWiki', 'common', 100, 7),
  (20, 'Integrations::Confluence', 'common', 60, 6),
  (21, 'Integrations::EmailsOnPush', 'common', 120, 5),
  (22, 'Integrations::PipelinesEmail', 'common', 140, 6);

-- A hash with the type's number as seed spreads each type over the projects independently of the others.
create temporary table planned as
select project_id, kinds.type_new, kinds.category, (hash >> 32) % 10 < kinds.active as active
from generate_series(1, 100000) as project_id
cross join kinds
cross join lateral (
  select hashint8extended(project_id, kinds.number) & 9223372036854775807
) as spread (hash)
where hash % 1000 < kinds.share
order by project_id, kinds.number;

-- The cache columns start out correct. The statement works for both versions of projects: it only names the wide table's required
-- columns if they exist.
do $$
declare
  wide constant boolean := exists (
    select from pg_attribute where attrelid = 'projects'::regclass and attname = 'project_namespace_id'
  );
begin
  execute 'insert into projects (id, name, path, namespace_id, updated_at, has_external_issue_tracker, has_external_wiki'
    || case when wide then ', project_namespace_id, organization_id, creator_id, created_at, description' else '' end
    || ') select id, ''project '' || id, ''project-'' || id, 1 + id % 2000, ''2024-01-01'',
      id in (select project_id from planned where active and category = ''issue_tracker''),
      id in (select project_id from planned where active and type_new = ''Integrations::ExternalWiki'')'
    || case when wide then ', 1000000 + id, 1, 1, ''2024-01-01'', repeat(''text '', 20)' else '' end
    || ' from generate_series(1, 100000) as id';
  perform setval('projects_id_seq', 100000);
end
$$;

-- One for the whole organization, and one for each of the first 500 groups.
insert into integrations (organization_id, instance, type_new, category, active, created_at, updated_at)
select 1, true, kinds.type_new, kinds.category, true, '2024-01-01', '2024-01-01'
from kinds where kinds.number in (1, 9, 18);

insert into integrations (group_id, type_new, category, active, created_at, updated_at)
select namespaces.id, kinds.type_new, kinds.category, true, '2024-01-01', '2024-01-01'
from namespaces join kinds on kinds.number = 1 + namespaces.id % 22
where namespaces.id between 2 and 501;

-- A project inherits its group's integration.
insert into integrations (project_id, type_new, category, active, inherit_from_id, created_at, updated_at)
select planned.project_id, planned.type_new, planned.category, planned.active, parent.id, '2024-01-01', '2024-01-01'
from planned
join projects on projects.id = planned.project_id
left join integrations as parent on parent.group_id = projects.namespace_id and parent.type_new = planned.type_new
order by planned.project_id;

insert into issue_tracker_data (integration_id)
select integrations.id from integrations
where integrations.category = 'issue_tracker' and integrations.type_new <> 'Integrations::Jira';

insert into jira_tracker_data (integration_id)
select integrations.id from integrations where integrations.type_new = 'Integrations::Jira';

drop table kinds, planned;
analyze;
