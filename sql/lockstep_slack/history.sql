-- What the status page draws. Small, and not dumped: it is about the database in which it was recorded. lockstep.set_retention says how long it
-- is kept.
create table lockstep_internal.drift_history (
  schema text not null
    constraint drift_history_schema_check check (pg_catalog.length(schema) <= 255),
  what text not null
    constraint drift_history_what_check check (pg_catalog.length(what) <= 255),
  -- In UTC.
  day date not null,
  rows bigint not null,
  is_more boolean not null,
  checked_at timestamptz not null,
  constraint drift_history_pkey primary key (schema, what, day)
);
comment on table lockstep_internal.drift_history is
  'the largest count of rows that differ of each day; written by lockstep.drift_report and lockstep_api.chatops_drift';

create table lockstep_internal.delivery_history (
  schema text not null
    constraint delivery_history_schema_check check (pg_catalog.length(schema) <= 255),
  -- The start of five minutes.
  since timestamptz not null,
  delivered bigint not null,
  failed bigint not null,
  -- From the event to Slack.
  p50_seconds double precision,
  p99_seconds double precision,
  -- For how long the oldest message waited when this was recorded; null if that was later.
  oldest_seconds double precision,
  constraint delivery_history_pkey primary key (schema, since)
);
comment on table lockstep_internal.delivery_history is 'messages of each five minutes; written by lockstep_api.record_history';

create table lockstep_internal.backfill_history (
  run bigint not null,
  at timestamptz not null,
  scanned bigint not null,
  constraint backfill_history_pkey primary key (run, at)
);
comment on table lockstep_internal.backfill_history is 'how far backfills were, by the minute; written by lockstep_api.record_history';

insert into lockstep_internal.retained (what, keep, in_table, since)
values ('drift_history', interval '90 days', 'lockstep_internal.drift_history', 'checked_at'),
       ('delivery_history', interval '7 days', 'lockstep_internal.delivery_history', 'since'),
       ('backfill_history', interval '7 days', 'lockstep_internal.backfill_history', 'at');

-- Deliveries are kept for a day, so what nobody recorded in time is made up for: an hour at a time, so that each call is short.
create function lockstep_api.record_history(schema text default 'public')
returns void language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
-- Recorded while the clock was ahead: of no time that was.
delete from lockstep_internal.delivery_history h
 where h.schema = record_history.schema and h.since >= (select date_bin(interval '5 minutes', clock_timestamp(), timestamptz 'epoch'));
insert into lockstep_internal.delivery_history (schema, since, delivered, failed, p50_seconds, p99_seconds, oldest_seconds)
select record_history.schema, s.since, d.delivered, d.failed, d.seconds[1], d.seconds[2],
       case when s.since = n.now - interval '5 minutes' then coalesce((
         select extract(epoch from clock_timestamp() - min(greatest(w.created_at, w.not_before))) from lockstep_internal.slack_delivery w
          where w.status = 'waiting' and w.schema = record_history.schema and (w.not_before is null or w.not_before <= clock_timestamp())), 0) end
  from (select date_bin(interval '5 minutes', clock_timestamp(), timestamptz 'epoch')) n (now)
 cross join lateral (
   select greatest(max(h.since) + interval '5 minutes', n.now - interval '1 day')
     from lockstep_internal.delivery_history h where h.schema = record_history.schema and h.since < n.now) f (first)
 cross join lateral generate_series(f.first, least(n.now - interval '5 minutes', f.first + interval '55 minutes'), interval '5 minutes') s (since)
 cross join lateral (
   select count(*) filter (where o.status = 'delivered'), count(*) filter (where o.status = 'failed'),
          percentile_cont(array[0.5, 0.99]) within group (order by extract(epoch from o.done_at - o.created_at)::float8)
            filter (where o.status = 'delivered')
     from lockstep_internal.slack_delivery o
    where o.status <> 'waiting' and o.done_at >= s.since and o.done_at < s.since + interval '5 minutes' and o.schema = record_history.schema
 ) d (delivered, failed, seconds)
    on conflict do nothing;
insert into lockstep_internal.backfill_history (run, at, scanned)
select p.run, date_trunc('minute', clock_timestamp()), p.scanned from lockstep.backfill_progress p where p.status = 'running'
    on conflict do nothing
$$;
comment on function lockstep_api.record_history(text) is
  'records what the status page draws, for the time since it was last recorded, an hour at a time and a day at most; any number of sidecars may call it each minute';
revoke execute on function lockstep_api.record_history(text) from public;

create function lockstep.status_history(schema text default 'public')
returns jsonb language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
select jsonb_build_object(
  'deliveries', (
    select coalesce(jsonb_agg(jsonb_build_object(
             'at', extract(epoch from h.since), 'delivered', h.delivered, 'failed', h.failed, 'p50_seconds', h.p50_seconds,
             'p99_seconds', h.p99_seconds, 'oldest_seconds', h.oldest_seconds) order by h.since), '[]')
      from lockstep_internal.delivery_history h
     where h.schema = status_history.schema and h.since > (select clock_timestamp() - interval '1 day')
       -- A clock may have been ahead.
       and h.since <= (select clock_timestamp())),
  'drift', (
    select coalesce(jsonb_agg(jsonb_build_object('what', d.what, 'days', d.days) order by d.what collate "C"), '[]')
      from (select h.what, jsonb_agg(jsonb_build_object('at', extract(epoch from h.day), 'rows', h.rows) order by h.day) as days
              from lockstep_internal.drift_history h
             where h.schema = status_history.schema and h.day > (select (clock_timestamp() at time zone 'utc')::date - 30)
             group by h.what order by h.what limit 100) d),
  'backfills', (
    select coalesce(jsonb_agg(jsonb_build_object('run', b.run, 'points', b.points) order by b.run desc), '[]')
      from (select p.run, jsonb_agg(jsonb_build_object('at', extract(epoch from p.at), 'scanned', p.scanned) order by p.at) as points
              from (select h.run, h.at, h.scanned, row_number() over w as place, count(*) over (partition by h.run) as points
                      from lockstep_internal.backfill_history h
                     where h.at > (select clock_timestamp() - interval '1 day')
                       and h.run in (select r.id from lockstep_internal.backfill_run r order by r.id desc limit 20)
                    window w as (partition by h.run order by h.at desc)) p
             -- As many as a plot can show.
             where p.place % greatest(1, p.points / 240) = 0
             group by p.run) b))
 where (select lockstep_internal.is_schema(status_history.schema))
$$;
comment on function lockstep.status_history(text) is
  'what a status page draws: messages of each five minutes of a day with the time to Slack, drift by day of a month, how far backfills were by the minute';
revoke execute on function lockstep.status_history(text) from public;
grant execute on function lockstep.status_history(text) to lockstep_admin;
