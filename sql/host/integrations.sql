-- integrations and the tables that belong to one integration each.

create table integrations (
  id bigserial primary key,
  project_id bigint,
  group_id bigint,
  organization_id bigint,
  inherit_from_id bigint,
  created_at timestamp without time zone,
  updated_at timestamp without time zone,
  active boolean not null default false,
  push_events boolean default true,
  issues_events boolean default true,
  merge_requests_events boolean default true,
  tag_push_events boolean default true,
  wiki_page_events boolean default true,
  confidential_note_events boolean default true,
  note_events boolean not null default true,
  confidential_issues_events boolean not null default true,
  commit_events boolean not null default true,
  comment_on_event_enabled boolean not null default true,
  pipeline_events boolean not null default false,
  job_events boolean not null default false,
  deployment_events boolean not null default false,
  vulnerability_events boolean not null default false,
  archive_trace_events boolean not null default false,
  incident_events boolean not null default false,
  group_mention_events boolean not null default false,
  group_confidential_mention_events boolean not null default false,
  instance boolean not null default false,
  alert_events boolean,
  category character varying not null default 'common',
  comment_detail smallint,
  type_new text,
  encrypted_properties bytea,
  encrypted_properties_iv bytea,
  constraint check_2aae034509 check (num_nonnulls(group_id, organization_id, project_id) = 1),
  constraint check_a948a0aa7e check (char_length(type_new) <= 255),
  constraint fk_71cce407f9 foreign key (project_id) references projects (id) on delete cascade,
  constraint fk_e8fe908a34 foreign key (group_id) references namespaces (id) on delete cascade,
  constraint fk_integrations_organization_id foreign key (organization_id) references organizations (id) on delete cascade,
  constraint fk_services_inherit_from_id foreign key (inherit_from_id) references integrations (id) on delete cascade
);

create unique index index_integrations_on_project_id_and_type_new_unique on integrations (project_id, type_new);
create index index_integrations_on_inherit_from_id on integrations (inherit_from_id);
create index index_integrations_on_organization_id on integrations (organization_id);
create index index_integrations_on_project_and_type_new_where_inherit_null on integrations (project_id, type_new)
  where inherit_from_id is null;
create index index_integrations_on_type_new on integrations (type_new);
create index index_integrations_on_type_new_and_instance_partial on integrations (type_new, instance) where instance;
create index index_integrations_on_type_new_id_when_active_and_has_group on integrations (type_new, id, inherit_from_id)
  where active and group_id is not null;
create index index_integrations_on_type_new_id_when_active_and_has_project on integrations (type_new, id)
  where active and project_id is not null;
-- Despite its name the index is not unique.
create index index_integrations_on_unique_group_id_and_type_new on integrations (group_id, type_new);

create table issue_tracker_data (
  id bigserial primary key,
  integration_id bigint references integrations (id) on delete cascade,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  encrypted_project_url bytea,
  encrypted_issues_url bytea,
  encrypted_new_issue_url bytea
);

create index index_issue_tracker_data_on_integration_id on issue_tracker_data (integration_id);

create table jira_tracker_data (
  id bigserial primary key,
  integration_id bigint references integrations (id) on delete cascade,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  encrypted_url bytea,
  encrypted_api_url bytea,
  issues_enabled boolean not null default false,
  project_key text
);

create index index_jira_tracker_data_on_integration_id on jira_tracker_data (integration_id);
