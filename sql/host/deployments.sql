-- Merge requests and their deployments, with the relevant columns of GitLab 18.

create table merge_requests (
  id bigserial primary key,
  iid integer,
  target_branch character varying not null default 'master',
  source_branch character varying not null default '',
  source_project_id bigint,
  target_project_id bigint not null references projects (id) on delete cascade,
  author_id bigint,
  title character varying,
  milestone_id bigint,
  state_id smallint not null default 1,
  merge_commit_sha character varying,
  squash_commit_sha bytea,
  merged_commit_sha bytea,
  created_at timestamp without time zone,
  updated_at timestamp without time zone
);
create unique index index_merge_requests_on_target_project_id_and_iid on merge_requests (target_project_id, iid);
create index index_merge_requests_on_tp_id_and_merge_commit_sha_and_id on merge_requests (target_project_id, merge_commit_sha, id);
create index index_merge_requests_on_target_project_id_and_squash_commit_sha on merge_requests (target_project_id, squash_commit_sha);
create index index_merge_requests_on_target_project_id_and_merged_commit_sha on merge_requests (target_project_id, merged_commit_sha);

create table merge_request_reviewers (
  id bigserial primary key,
  user_id bigint not null references users (id) on delete cascade,
  merge_request_id bigint not null references merge_requests (id) on delete cascade,
  created_at timestamp with time zone not null default now(),
  -- 0 unreviewed, 1 reviewed, 2 requested changes, 3 approved, 4 unapproved, 5 review started.
  state smallint not null default 0
);
create index index_merge_request_reviewers_on_merge_request_id on merge_request_reviewers (merge_request_id);

create table environments (
  id bigserial primary key,
  project_id bigint not null references projects (id) on delete cascade,
  name character varying not null,
  external_url character varying,
  environment_type character varying,
  state character varying not null default 'available',
  slug character varying not null,
  tier smallint,
  created_at timestamp without time zone,
  updated_at timestamp without time zone
);

-- 0 created, 1 running, 2 success, 3 failed, 4 canceled, 5 skipped, 6 blocked.
create table deployments (
  id bigserial primary key,
  iid integer not null,
  project_id bigint not null references projects (id) on delete cascade,
  environment_id bigint not null references environments (id) on delete cascade,
  ref character varying not null,
  tag boolean not null,
  sha character varying not null,
  user_id bigint,
  status smallint not null,
  created_at timestamp without time zone,
  updated_at timestamp without time zone,
  finished_at timestamp with time zone,
  archived boolean not null default false
);
create unique index index_deployments_on_project_id_and_iid on deployments (project_id, iid);
create index index_deployments_on_environment_status_sha on deployments (environment_id, status, sha);

create table deployment_merge_requests (
  deployment_id bigint not null references deployments (id) on delete cascade,
  merge_request_id bigint not null references merge_requests (id) on delete cascade,
  environment_id bigint,
  project_id bigint,
  primary key (deployment_id, merge_request_id)
);
create unique index idx_environment_merge_requests_unique_index on deployment_merge_requests (environment_id, merge_request_id);
create index index_deployment_merge_requests_on_merge_request_id on deployment_merge_requests (merge_request_id);
