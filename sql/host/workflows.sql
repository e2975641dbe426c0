-- The agent platform: workflows, the catalog of items they run, and who uses an item with which account.

create table ai_catalog_items (
  id bigserial primary key,
  organization_id bigint not null references organizations (id) on delete cascade,
  project_id bigint references projects (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  item_type smallint not null default 1,
  name text not null default '',
  description text not null default '',
  public boolean not null default false,
  deleted_at timestamptz,
  latest_version_id bigint,
  latest_released_version_id bigint,
  verification_level smallint not null default 0,
  identifier text,
  foundational_flow_reference text,
  constraint ai_catalog_items_name_check check (char_length(name) <= 255),
  constraint ai_catalog_items_description_check check (char_length(description) <= 1024),
  constraint ai_catalog_items_foundational_flow_reference_check check (char_length(foundational_flow_reference) <= 255)
);

-- Not unique.
create index index_ai_catalog_items_on_foundational_flow_reference on ai_catalog_items (foundational_flow_reference);
create index index_ai_catalog_items_on_organization_id on ai_catalog_items (organization_id);
create index index_ai_catalog_items_on_project_id on ai_catalog_items (project_id);

create table ai_catalog_item_versions (
  id bigserial primary key,
  release_date timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  organization_id bigint not null,
  ai_catalog_item_id bigint not null references ai_catalog_items (id) on delete cascade,
  schema_version smallint not null default 1,
  version text not null default '1.0.0',
  definition jsonb not null default '{}',
  constraint ai_catalog_item_versions_version_check check (char_length(version) <= 50)
);

create index index_ai_catalog_item_versions_on_ai_catalog_item_id on ai_catalog_item_versions (ai_catalog_item_id);

create table ai_catalog_item_consumers (
  id bigserial primary key,
  ai_catalog_item_id bigint not null references ai_catalog_items (id) on delete restrict,
  organization_id bigint,
  group_id bigint references namespaces (id) on delete cascade,
  project_id bigint references projects (id) on delete cascade,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  enabled boolean not null default false,
  locked boolean not null default true,
  pinned_version_prefix text,
  service_account_id bigint references users (id) on delete set null,
  parent_item_consumer_id bigint references ai_catalog_item_consumers (id) on delete set null,
  constraint check_55026cf703 check (num_nonnulls(group_id, organization_id, project_id) = 1),
  constraint ai_catalog_item_consumers_pinned_version_prefix_check check (char_length(pinned_version_prefix) <= 50)
);

-- Two single-column indexes; there is none on both.
create index index_ai_catalog_item_consumers_on_group_id on ai_catalog_item_consumers (group_id);
create index index_ai_catalog_item_consumers_on_ai_catalog_item_id on ai_catalog_item_consumers (ai_catalog_item_id);
create index index_ai_catalog_item_consumers_on_project_id on ai_catalog_item_consumers (project_id);
create index index_ai_catalog_item_consumers_on_service_account_id on ai_catalog_item_consumers (service_account_id);
create index index_ai_catalog_item_consumers_on_parent_item_consumer_id on ai_catalog_item_consumers (parent_item_consumer_id);

create table duo_workflows_workflows (
  id bigserial primary key,
  user_id bigint not null references users (id) on delete cascade,
  project_id bigint references projects (id) on delete cascade,
  namespace_id bigint references namespaces (id) on delete cascade,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  status smallint not null default 0,
  goal text,
  agent_privileges smallint[] not null default '{1,2}',
  pre_approved_agent_privileges smallint[] not null default '{1,2}',
  workflow_definition text not null default 'software_development',
  allow_agent_to_request_user boolean not null default true,
  image text,
  environment smallint,
  -- No foreign key: GitLab's is not known, and a version can be gone.
  ai_catalog_item_version_id bigint,
  service_account_id bigint,
  constraint check_73884a5839 check (num_nonnulls(namespace_id, project_id) = 1),
  constraint duo_workflows_workflows_goal_check check (char_length(goal) <= 16384),
  constraint duo_workflows_workflows_workflow_definition_check check (char_length(workflow_definition) <= 255),
  constraint duo_workflows_workflows_image_check check (char_length(image) <= 2048)
);

alter table duo_workflows_workflows add constraint fk_duo_workflows_workflows_service_account_id
  foreign key (service_account_id) references users (id) on delete set null not valid;

create index index_duo_workflows_workflows_on_service_account_id on duo_workflows_workflows (service_account_id);
create index index_duo_workflows_workflows_on_user_id on duo_workflows_workflows (user_id);
create index index_duo_workflows_workflows_on_project_id on duo_workflows_workflows (project_id);
create index index_duo_workflows_workflows_on_namespace_id on duo_workflows_workflows (namespace_id);
