-- The Slack app's tables: a row per integration, although token and scopes belong to the workspace (team_id).

create table slack_integrations (
  id bigserial primary key,
  team_id character varying not null,
  team_name character varying not null,
  alias character varying not null,
  user_id character varying not null,
  created_at timestamp without time zone not null,
  updated_at timestamp without time zone not null,
  bot_user_id text,
  encrypted_bot_access_token bytea,
  encrypted_bot_access_token_iv bytea,
  integration_id bigint,
  organization_id bigint,
  group_id bigint,
  project_id bigint,
  constraint check_bc553aea8a check (char_length(bot_user_id) <= 255),
  constraint check_c9ca9ae80d check (integration_id is not null),
  constraint fk_cbe270434e foreign key (integration_id) references integrations (id) on delete cascade
);

create unique index index_slack_integrations_on_team_id_and_alias on slack_integrations (team_id, alias);
create index index_slack_integrations_on_integration_id on slack_integrations (integration_id);
create index index_slack_integrations_on_group_id on slack_integrations (group_id);
create index index_slack_integrations_on_organization_id on slack_integrations (organization_id);
create index index_slack_integrations_on_project_id on slack_integrations (project_id);

create table slack_api_scopes (
  id bigserial primary key,
  name text not null,
  organization_id bigint references organizations (id) on delete cascade,
  constraint slack_api_scopes_name_check check (char_length(name) <= 100),
  constraint check_930d89be0d check (organization_id is not null)
);

create unique index idx_unique_slack_api_scopes_on_organization_id_and_name on slack_api_scopes (organization_id, name);

create table slack_integrations_scopes (
  id bigserial primary key,
  slack_api_scope_id bigint not null references slack_api_scopes (id) on delete cascade,
  slack_integration_id bigint not null references slack_integrations (id) on delete cascade,
  project_id bigint,
  group_id bigint,
  organization_id bigint,
  constraint check_c5ff08a699 check (num_nonnulls(group_id, organization_id, project_id) = 1)
);

create unique index index_slack_api_scopes_on_name_and_integration
  on slack_integrations_scopes (slack_integration_id, slack_api_scope_id);
