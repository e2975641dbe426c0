-- Clusters with their projects and groups.

create table clusters (
  id bigserial primary key,
  user_id bigint,
  name character varying not null,
  enabled boolean default true,
  -- 1: instance, 2: groups, 3: projects.
  cluster_type smallint not null default 3,
  created_at timestamp without time zone not null default now(),
  updated_at timestamp without time zone not null default now()
);

create table cluster_projects (
  id bigserial primary key,
  project_id bigint not null references projects (id) on delete cascade,
  cluster_id bigint not null references clusters (id) on delete cascade
);
create index index_cluster_projects_on_cluster_id on cluster_projects (cluster_id);
create index index_cluster_projects_on_project_id on cluster_projects (project_id);

create table cluster_groups (
  id bigserial primary key,
  cluster_id bigint not null references clusters (id) on delete cascade,
  group_id bigint not null references namespaces (id) on delete cascade
);
create unique index index_cluster_groups_on_cluster_id_and_group_id on cluster_groups (cluster_id, group_id);
create index index_cluster_groups_on_group_id on cluster_groups (group_id);
