-- The Slack app's tables before scopes belonged to an organization and links had an owner.

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
  constraint check_bc553aea8a check (char_length(bot_user_id) <= 255),
  constraint check_c9ca9ae80d check (integration_id is not null),
  constraint fk_cbe270434e foreign key (integration_id) references integrations (id) on delete cascade
);

create unique index index_slack_integrations_on_team_id_and_alias on slack_integrations (team_id, alias);
create index index_slack_integrations_on_integration_id on slack_integrations (integration_id);

create table slack_api_scopes (
  id bigserial primary key,
  name text not null,
  constraint slack_api_scopes_name_check check (char_length(name) <= 100)
);

create unique index index_slack_api_scopes_on_name on slack_api_scopes (name);

create table slack_integrations_scopes (
  id bigserial primary key,
  slack_api_scope_id bigint not null references slack_api_scopes (id) on delete cascade,
  slack_integration_id bigint not null references slack_integrations (id) on delete cascade
);

create unique index index_slack_api_scopes_on_name_and_integration
  on slack_integrations_scopes (slack_integration_id, slack_api_scope_id);
