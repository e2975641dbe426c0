-- What the application has no row for: an installation of a workspace without an integration, its refresh token and expiry.
create table lockstep_internal.slack_installation (
  schema text not null,
  -- Slack's id of the workspace, or of the enterprise if the app was installed for all of its workspaces.
  team_id text not null
    constraint slack_installation_team_id_check check (team_id <> '' and pg_catalog.length(team_id) <= 255),
  team_name text not null,
  enterprise_id text,
  app_id text,
  user_id text not null,
  bot_user_id text,
  scopes text[] not null,
  -- Encrypted by the sidecar; null if a writer of the application's rows has removed the token.
  encrypted_bot_access_token bytea,
  encrypted_bot_access_token_iv bytea,
  encrypted_refresh_token bytea,
  encrypted_refresh_token_iv bytea,
  expires_at timestamptz,
  installed_at timestamptz not null default pg_catalog.clock_timestamp(),
  refreshed_at timestamptz,
  refresh_error text,
  lease bigint,
  leased_until timestamptz,
  constraint slack_installation_pkey primary key (schema, team_id),
  constraint slack_installation_refresh_token_check
    check ((encrypted_refresh_token is null) = (encrypted_refresh_token_iv is null)),
  constraint slack_installation_lease_check check (lease is null or leased_until is not null)
);
comment on table lockstep_internal.slack_installation is 'installations of Slack workspaces with their encrypted tokens; written by the functions of lockstep alone';
create index slack_installation_expires_at_idx on lockstep_internal.slack_installation (schema, expires_at) where encrypted_refresh_token is not null;
-- Dumped: restored without its refresh token, a workspace would be cut off.
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_installation', '');

create table lockstep_internal.slack_install_ticket (
  token_digest bytea not null
    constraint slack_install_ticket_pkey primary key
    constraint slack_install_ticket_token_digest_check check (pg_catalog.length(token_digest) = 32),
  schema text not null,
  project_id bigint,
  group_id bigint,
  organization_id bigint,
  alias text,
  expires_at timestamptz not null,
  used_at timestamptz,
  constraint slack_install_ticket_check check (pg_catalog.num_nonnulls(project_id, group_id, organization_id) = 1)
);
comment on table lockstep_internal.slack_install_ticket is
  'tickets to install the Slack app for an owner, by the SHA-256 of what was handed out; written by lockstep.issue_slack_install_ticket';

create table lockstep_internal.slack_manager (
  schema text not null,
  integration_id bigint not null,
  team_id text not null
    constraint slack_manager_team_id_check check (pg_catalog.length(team_id) <= 255),
  -- Slack's id.
  user_id text not null
    constraint slack_manager_user_id_check check (user_id <> '' and pg_catalog.length(user_id) <= 255),
  since timestamptz not null default pg_catalog.clock_timestamp(),
  constraint slack_manager_pkey primary key (schema, integration_id, team_id, user_id)
);
comment on table lockstep_internal.slack_manager is
  'users of Slack who installed the app for an integration with a ticket, or for whom lockstep.install_slack_workspace did: they manage it; written by the functions of lockstep alone';
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_manager', '');

create table lockstep_internal.slack_install_state (
  state_digest bytea not null
    constraint slack_install_state_pkey primary key
    constraint slack_install_state_state_digest_check check (pg_catalog.length(state_digest) = 32),
  browser_digest bytea not null
    constraint slack_install_state_browser_digest_check check (pg_catalog.length(browser_digest) = 32),
  schema text not null,
  ticket bytea
    constraint slack_install_state_ticket_fkey references lockstep_internal.slack_install_ticket (token_digest) on delete cascade,
  expires_at timestamptz not null,
  taken_at timestamptz
);
comment on table lockstep_internal.slack_install_state is
  'installations on their way through Slack, by the SHA-256 of the state and of the secret of the browser; written by lockstep_api.begin_slack_install';
create index slack_install_state_ticket_idx on lockstep_internal.slack_install_state (ticket);

create table lockstep_internal.slack_event (
  event_id text not null
    constraint slack_event_pkey primary key
    constraint slack_event_event_id_check check (event_id <> '' and pg_catalog.length(event_id) <= 255),
  received_at timestamptz not null default pg_catalog.clock_timestamp(),
  job bigint
);
comment on table lockstep_internal.slack_event is 'events of Slack that were received, so that each counts once; written by lockstep_api.receive_slack_event';
create index slack_event_received_at_idx on lockstep_internal.slack_event (received_at);

insert into lockstep_internal.host_worker (name, retries, keeps_dead)
values ('Slack::AppHomeWorker', 5, true), ('Slack::InteractionWorker', 5, true), ('Slack::TeamWorker', 5, true),
       -- Nobody reads a late reply.
       ('Slack::ReplyWorker', 5, false);
