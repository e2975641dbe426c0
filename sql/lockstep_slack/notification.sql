-- Notifications through the Slack app: what happened, which channels are notified, and the outcome.

-- Settings of an integration; without a row, the defaults apply.
create table lockstep_internal.slack_notification (
  schema text not null,
  integration_id bigint not null,
  -- For every event without channels of its own.
  channels text[] not null default '{}',
  -- Channels per event: {"push": ["#general", "C0123"]}.
  event_channels jsonb not null default '{}'
    constraint slack_notification_event_channels_check check (pg_catalog.jsonb_typeof(event_channels) = 'object'),
  branches text not null default 'default'
    constraint slack_notification_branches_check check (branches in ('all', 'default', 'protected', 'default_and_protected')),
  labels text[] not null default '{}',
  all_labels boolean not null default false,
  only_broken_pipelines boolean not null default true,
  only_changed_pipelines boolean not null default false,
  -- Also pipelines that another pipeline of the project has started.
  child_pipelines boolean not null default false,
  -- How the events of one pipeline or merge request are shown: as separate messages, one updated message, or a thread.
  updates text not null default 'separate'
    constraint slack_notification_updates_check check (updates in ('separate', 'update', 'thread')),
  -- If false, a direct-message channel is not notified of its user's own actions.
  own_actions boolean not null default true,
  -- GitLab users, by name, whose actions nobody is notified of.
  muted_authors text[] not null default '{}',
  -- Conditions with channels: [{"branches": ["release/*"], "channels": ["#releases"]}]; the first one that fits counts, or all.
  routes jsonb not null default '[]'
    constraint slack_notification_routes_check check (pg_catalog.jsonb_typeof(routes) = 'array'),
  all_routes boolean not null default false,
  -- Changes of issues and merge requests that are sent besides those of reviewers and drafts.
  changes text[] not null default '{}',
  -- Whether messages mention the people that an event is for.
  mentions boolean not null default false,
  -- Slack's user groups of GitLab's groups: {"group/backend": "S0123"}.
  user_groups jsonb not null default '{}'
    constraint slack_notification_user_groups_check check (pg_catalog.jsonb_typeof(user_groups) = 'object'),
  constraint slack_notification_pkey primary key (schema, integration_id)
);
comment on table lockstep_internal.slack_notification is
  'who is notified of what: channels and filters of integrations of the Slack app; written by lockstep.set_slack_notifications';
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_notification', '');

create table lockstep_internal.slack_person (
  schema text not null,
  team_id text not null
    constraint slack_person_team_id_check check (pg_catalog.length(team_id) <= 255),
  -- Slack's id of the user.
  user_id text not null
    constraint slack_person_user_id_check check (pg_catalog.length(user_id) <= 255),
  mentions boolean not null default true,
  direct_messages boolean not null default false,
  own_actions boolean not null default false,
  -- From and until when nothing disturbs, in that time zone: until a time of the next day if that is not later.
  quiet_from time,
  quiet_until time,
  time_zone text
    constraint slack_person_time_zone_check check (pg_catalog.length(time_zone) <= 255),
  constraint slack_person_pkey primary key (schema, team_id, user_id),
  constraint slack_person_quiet_check check (pg_catalog.num_nulls(quiet_from, quiet_until, time_zone) in (0, 3))
);
comment on table lockstep_internal.slack_person is
  'how Slack users want to be notified of what is for them; without a row, the defaults apply; written by lockstep_api.set_slack_person';
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_person', '');

create table lockstep_internal.event (
  id bigint generated always as identity
    constraint event_pkey primary key,
  schema text not null,
  -- Identifies an event: one that arrives twice counts once.
  key text not null
    constraint event_key_check check (pg_catalog.length(key) between 1 and 255),
  received_at timestamptz not null default pg_catalog.clock_timestamp(),
  -- Where it happened; null for groups, and for what an integration sends by itself.
  project_id bigint,
  -- As received; null where nobody is notified.
  payload json,
  -- The webhooks that sent it, each with the id of its request; null if it was published from SQL.
  requests text[],
  constraint event_key unique (schema, key)
) with (
  -- Most payloads have 2 to 8 kB: compressing one and storing it out of line takes half as long as everything else.
  toast_tuple_target = 8160
);
comment on table lockstep_internal.event is 'events of projects and groups that were published; written by lockstep_api.publish_events';
create index event_received_at_idx on lockstep_internal.event (received_at);
select pg_catalog.pg_extension_config_dump('lockstep_internal.event', '');
select pg_catalog.pg_extension_config_dump('lockstep_internal.event_id_seq', '');

create table lockstep_internal.slack_channel (
  id bigint generated always as identity
    constraint slack_channel_pkey primary key,
  schema text not null,
  team_id text not null
    constraint slack_channel_team_id_check check (pg_catalog.length(team_id) <= 255),
  -- As configured: a name with its #, or an id.
  channel text not null
    constraint slack_channel_channel_check check (pg_catalog.length(channel) <= 255),
  -- From Slack's response, however it was addressed; null before the first message.
  slack_id text
    constraint slack_channel_slack_id_check check (pg_catalog.length(slack_id) <= 255),
  -- The row of the same channel that holds its order and pace, if this one does not.
  same_as bigint,
  -- No message to it starts earlier.
  not_before timestamptz not null default '-infinity',
  -- When that and the lease were written. If that is yet to come, the clock was wrong, and neither counts.
  paced_at timestamptz not null default '-infinity',
  -- The current sender, what it sends, and the pipeline or merge request whose message this will become.
  lease bigint,
  leased_until timestamptz,
  delivery bigint,
  subject text,
  -- Where very many channels wait, those that wait long are parked: until their own time, or until the workspace may send.
  parked text
    constraint slack_channel_parked_check check (parked in ('time', 'team')),
  -- For the indexes of parked channels. Null in all others, so that an update of these writes no index.
  due_at timestamptz generated always as (case when parked = 'time' then greatest(not_before, leased_until) end) stored,
  team_due_at timestamptz generated always as (case when parked = 'team' then greatest(not_before, leased_until) end) stored,
  parked_paced_at timestamptz generated always as (case when parked is not null then paced_at end) stored,
  constraint slack_channel_key unique (schema, team_id, channel),
  constraint slack_channel_same_as_check check (same_as <> id),
  constraint slack_channel_lease_check check ((lease is null) = (leased_until is null) and (lease is null) = (delivery is null))
) with (fillfactor = 50);
comment on table lockstep_internal.slack_channel is
  'channels that ever got a message, by each name they are called; one row of each has its pace and who sends to it';
create index slack_channel_slack_id_idx on lockstep_internal.slack_channel (slack_id, team_id) where slack_id is not null;
create index slack_channel_due_at_idx on lockstep_internal.slack_channel (schema, due_at) where due_at is not null;
create index slack_channel_team_due_at_idx on lockstep_internal.slack_channel (schema, team_id, team_due_at) where team_due_at is not null;
create index slack_channel_parked_paced_at_idx on lockstep_internal.slack_channel (schema, parked_paced_at) where parked_paced_at is not null;
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_channel', '');
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_channel_id_seq', '');

create table lockstep_internal.slack_team_pace (
  schema text not null,
  team_id text not null
    constraint slack_team_pace_team_id_check check (pg_catalog.length(team_id) <= 255),
  -- When all messages sent so far are paid for (GCRA's theoretical arrival time).
  free_at timestamptz not null,
  -- Slack counts per method: chat.update has a lower limit.
  method text not null default 'chat.postMessage'
    constraint slack_team_pace_method_check check (pg_catalog.length(method) <= 255),
  -- Whether channels are parked until the workspace may send.
  has_parked boolean not null default false,
  parked_free_at timestamptz generated always as (case when has_parked then free_at end) stored,
  constraint slack_team_pace_pkey primary key (schema, team_id, method)
) with (fillfactor = 50);
comment on table lockstep_internal.slack_team_pace is 'the pace of each workspace, over all of its channels and all sidecars';
create index slack_team_pace_parked_free_at_idx on lockstep_internal.slack_team_pace (schema, parked_free_at) where parked_free_at is not null;

create table lockstep_internal.slack_delivery (
  id bigint generated always as identity
    constraint slack_delivery_pkey primary key,
  schema text not null,
  -- No foreign keys here: every event has a delivery per channel.
  event bigint not null,
  -- Why the channel is notified: an integration with its workspace row, or else a subscription.
  integration_id bigint,
  slack_integration_id bigint,
  subscription_id bigint,
  -- The channel as addressed, and the row that holds its order and pace: they differ where a channel has several names.
  channel bigint not null,
  lane bigint not null,
  status text not null default 'waiting'
    constraint slack_delivery_status_check check (status in ('waiting', 'delivered', 'failed')),
  -- Requests that certainly failed, and those with an unknown outcome: repeating the latter may notify twice.
  attempts integer not null default 0,
  uncertain integer not null default 0,
  -- Both, since it was last retried by hand.
  failures integer not null default 0,
  -- Slack's code of the last error, and the scope that was missing.
  error text,
  needed text,
  -- Slack's ids of the users and user groups that it mentions, with spaces between; null if there are none.
  mentions text,
  -- Of a direct message: not earlier than that, and only if its reader still has access then.
  not_before timestamptz,
  created_at timestamptz not null default pg_catalog.clock_timestamp(),
  done_at timestamptz,
  -- It was found waiting when its lane was parked, and is claimed when that is due.
  is_parked boolean not null default false,
  constraint slack_delivery_done_at_check check ((status = 'waiting') = (done_at is null)),
  constraint slack_delivery_source_check
    check ((integration_id is null) = (slack_integration_id is null) and (integration_id is null) = (subscription_id is not null))
) with (
  -- As with jobs: most of the table is finished a moment later.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.2
);
comment on table lockstep_internal.slack_delivery is
  'an event for one channel of one integration or subscription; written by the functions of lockstep alone. What waits in a lane is sent in the order of the ids: of two publications the one whose transaction ended before the other began comes first';
create index slack_delivery_waiting_idx on lockstep_internal.slack_delivery (lane, id) where status = 'waiting';
create index slack_delivery_ready_idx on lockstep_internal.slack_delivery (lane, id) where status = 'waiting' and not is_parked;
create index slack_delivery_event_idx on lockstep_internal.slack_delivery (event);
create index slack_delivery_done_at_idx on lockstep_internal.slack_delivery (done_at) where status <> 'waiting';
create index slack_delivery_failed_idx on lockstep_internal.slack_delivery (integration_id) where status = 'failed';
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_delivery', '');
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_delivery_id_seq', '');

create table lockstep_internal.slack_channel_trouble (
  schema text not null,
  integration_id bigint not null,
  team_id text not null
    constraint slack_channel_trouble_team_id_check check (pg_catalog.length(team_id) <= 255),
  channel text not null
    constraint slack_channel_trouble_channel_check check (pg_catalog.length(channel) <= 255),
  error text not null,
  needed text,
  failures bigint not null default 1,
  since timestamptz not null default pg_catalog.clock_timestamp(),
  last_at timestamptz not null default pg_catalog.clock_timestamp(),
  constraint slack_channel_trouble_pkey primary key (schema, integration_id, team_id, channel)
);
comment on table lockstep_internal.slack_channel_trouble is 'channels that an integration cannot reach, each with what Slack says, until it reaches them again';
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_channel_trouble', '');

create table lockstep_internal.slack_message (
  channel bigint not null,
  -- The pipeline or merge request of the message.
  subject text not null
    constraint slack_message_subject_check check (pg_catalog.length(subject) <= 255),
  -- Slack's ids of the message and its channel.
  ts text not null,
  slack_channel text not null,
  -- When the newest event that it shows happened, in seconds since 1970, if known.
  moment bigint,
  at timestamptz not null default pg_catalog.clock_timestamp(),
  constraint slack_message_pkey primary key (channel, subject)
);
comment on table lockstep_internal.slack_message is 'messages that are to be updated, or answered in a thread';
create index slack_message_at_idx on lockstep_internal.slack_message (at);
select pg_catalog.pg_extension_config_dump('lockstep_internal.slack_message', '');

create table lockstep_internal.pipeline_status (
  schema text not null,
  project_id bigint not null,
  -- The full name of a branch or tag, or refs/merge-requests/1/head; for a very long name, its beginning and a digest.
  ref text not null
    constraint pipeline_status_ref_check check (pg_catalog.length(ref) <= 255),
  pipeline_id bigint not null,
  status text not null,
  -- In the application's format; null if missing.
  finished_at text,
  -- A date, so that the index on it is written once a day.
  seen_on date not null default current_date,
  constraint pipeline_status_pkey primary key (schema, project_id, ref)
) with (fillfactor = 50);
comment on table lockstep_internal.pipeline_status is
  'how the newest pipeline of a branch, tag or merge request ended, to tell whether the next one changes that; of projects that have an integration of the Slack app, inherit one, or are followed by a subscription';
create index pipeline_status_seen_on_idx on lockstep_internal.pipeline_status (seen_on);
select pg_catalog.pg_extension_config_dump('lockstep_internal.pipeline_status', '');
