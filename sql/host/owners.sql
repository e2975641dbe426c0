-- The owners of projects and integrations, as far as foreign keys need them. One row each, with id 1.

create table organizations (
  id bigserial primary key,
  name text not null default '',
  path text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table users (
  id bigserial primary key,
  username character varying,
  email character varying not null default '',
  name character varying,
  -- The application always sets the state; in GitLab the column has no default.
  state character varying default 'active',
  user_type smallint not null default 0,
  organization_id bigint not null references organizations (id),
  created_at timestamp without time zone,
  updated_at timestamp without time zone
);

create table namespaces (
  id bigserial primary key,
  name character varying not null,
  path character varying not null,
  owner_id bigint,
  type character varying not null default 'User',
  parent_id bigint,
  visibility_level integer not null default 20,
  traversal_ids bigint[] not null default '{}',
  organization_id bigint,
  state smallint default 0,
  created_at timestamp without time zone,
  updated_at timestamp without time zone,
  constraint check_2eae3bdf93 check (organization_id is not null),
  constraint check_9d490f2140 check (state is not null)
);

create index index_groups_on_parent_id_id on namespaces (parent_id, id) where type = 'Group';
create index index_groups_on_path_and_id on namespaces (path, id) where type = 'Group';

insert into organizations (name, path) values ('Default', 'default');
insert into users (username, email, name, organization_id) values ('root', 'root@example.com', 'Root', 1);
insert into namespaces (name, path, type, traversal_ids, organization_id) values ('group 1', 'group-1', 'Group', '{1}', 1);
