-- The table that became integrations in 14.x: types named XxxService, an integer key, and no index that prevents two rows of one
-- type in a project.

create table services (
  id serial primary key,
  type character varying,
  project_id integer,
  group_id bigint,
  inherit_from_id bigint,
  created_at timestamp without time zone,
  updated_at timestamp without time zone,
  active boolean not null default false,
  template boolean default false,
  instance boolean not null default false,
  category character varying not null default 'common',
  push_events boolean default true,
  issues_events boolean default true,
  merge_requests_events boolean default true,
  note_events boolean not null default true,
  job_events boolean not null default false,
  constraint fk_71cce407f9 foreign key (project_id) references projects (id) on delete cascade,
  constraint fk_e8fe908a34 foreign key (group_id) references namespaces (id) on delete cascade,
  constraint fk_services_inherit_from_id foreign key (inherit_from_id) references services (id) on delete cascade
);

create index index_services_on_project_id_and_type on services (project_id, type);
create index index_services_on_type on services (type);
create index index_services_on_inherit_from_id on services (inherit_from_id);
