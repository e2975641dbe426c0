-- Members, and accounts linked with Slack, with the relevant columns of GitLab 18.

create table members (
  id bigserial primary key,
  access_level integer not null,
  source_id bigint not null,
  source_type character varying not null,
  user_id bigint references users (id) on delete cascade,
  notification_level integer not null default 3,
  type character varying,
  invite_token character varying,
  requested_at timestamp without time zone,
  expires_at date,
  state smallint default 0,
  created_at timestamp without time zone,
  updated_at timestamp without time zone
);
create index index_members_on_user_id_and_access_level_requested_at_is_null on members (user_id, access_level)
  where requested_at is null;

create table chat_names (
  id bigserial primary key,
  user_id bigint not null references users (id) on delete cascade,
  team_id character varying not null,
  team_domain character varying,
  chat_id character varying not null,
  chat_name character varying,
  last_used_at timestamp without time zone,
  created_at timestamp without time zone not null default now(),
  updated_at timestamp without time zone not null default now()
);
create unique index index_chat_names_on_team_id_and_chat_id on chat_names (team_id, chat_id);
