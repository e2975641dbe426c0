-- The columns of projects that the cache triggers use, and only the primary key index: a cheap row to write.

create table projects (
  id bigserial primary key,
  name character varying,
  path character varying,
  namespace_id bigint not null,
  has_external_issue_tracker boolean,
  has_external_wiki boolean,
  updated_at timestamp without time zone,
  constraint fk_projects_namespace_id foreign key (namespace_id) references namespaces (id) on delete restrict
);
