-- Projects that a Slack workspace follows without an integration of its own: GitLab has one workspace for each integration.
create table lockstep_internal.slack_subscription (
  id bigint generated always as identity
    constraint slack_subscription_pkey primary key,
  schema text not null,
  project_id bigint not null,
  -- The workspace or organization that has the app.
  team_id text not null
    constraint slack_subscription_team_id_check check (team_id <> '' and pg_catalog.length(team_id) <= 255),
  -- As given: a name with its #, or an id.
  channel text not null
    constraint slack_subscription_channel_check check (channel <> '' and pg_catalog.length(channel) <= 255),
  -- By name; empty for the default.
  events text[] not null default '{}',
  -- Conditions, as in the routes of an integration, without channels.
  routes jsonb not null default '[]',
  -- Who subscribed, with the workspace in which the account is linked; null if it was an administrator.
  workspace_id text
    constraint slack_subscription_workspace_id_check check (pg_catalog.length(workspace_id) <= 255),
  user_id text
    constraint slack_subscription_user_id_check check (pg_catalog.length(user_id) <= 255),
  since timestamptz not null default pg_catalog.clock_timestamp(),
  -- What Slack says of the channel, until it is reached again.
  error text,
  needed text,
  failures bigint not null default 0,
  failing_since timestamptz,
  failed_at timestamptz,
  -- Also the index by project that publishing looks at.
  constraint slack_subscription_key unique (schema, project_id, team_id, channel),
  constraint slack_subscription_user_check check ((workspace_id is null) = (user_id is null)),
  constraint slack_subscription_error_check
    check ((error is null) = (failing_since is null) and (error is null) = (failed_at is null) and (error is not null or needed is null))
);
comment on table lockstep_internal.slack_subscription is
  'channels of Slack workspaces that follow a project without an integration of their own; written by lockstep.subscribe_slack_channel and /gitlab subscribe';
create index slack_subscription_team_idx on lockstep_internal.slack_subscription (schema, team_id, channel);
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_subscription', '');
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_subscription_id_seq', '');

create table lockstep.slack_subscription_audit (
  id bigint generated always as identity
    constraint slack_subscription_audit_pkey primary key,
  changed_at timestamptz not null default pg_catalog.clock_timestamp(),
  role text not null default session_user,
  schema text not null,
  project_id bigint not null,
  team_id text not null,
  channel text not null,
  -- The last two: the app was uninstalled from the workspace, and the project was removed.
  change text not null
    constraint slack_subscription_audit_change_check check (change in ('subscribed', 'changed', 'unsubscribed', 'uninstalled', 'project_gone')),
  events text[] not null,
  routes jsonb not null,
  -- The user in Slack who asked for it, and that user's workspace.
  workspace_id text,
  user_id text,
  -- For a restored row, a role other than lockstep_owner.
  recorded_by name not null default current_user
);
comment on table lockstep.slack_subscription_audit is
  'every subscription of a Slack channel to a project, its changes and its end: who and when; written by the functions of lockstep alone';
create index slack_subscription_audit_project_idx on lockstep.slack_subscription_audit (project_id, id);
create index slack_subscription_audit_changed_at_idx on lockstep.slack_subscription_audit (changed_at);
select pg_catalog.pg_extension_config_dump('lockstep.slack_subscription_audit', '');
select pg_catalog.pg_extension_config_dump('lockstep.slack_subscription_audit_id_seq', '');
-- Records who restored a row from a dump.
create trigger check_restored before insert on lockstep.slack_subscription_audit for each row
  when (current_user operator(pg_catalog.<>) 'lockstep_owner') execute function lockstep_internal.check_restored('record');
grant select on lockstep.slack_subscription_audit to lockstep_admin, pg_monitor;
