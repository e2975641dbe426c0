-- Read-only reports. These functions run as lockstep_owner, which owns them and has no right on anybody's table.

create function lockstep.status_report(schema text default 'public')
returns jsonb language sql security definer set search_path = pg_catalog, pg_temp
-- Times are shown in UTC.
set timezone = 'UTC'
as $$
with waiting as materialized (
  select o.channel, count(*) as waiting, min(greatest(o.created_at, o.not_before)) filter (where o.not_before is null or o.not_before <= clock_timestamp()) as oldest, min(o.id) as first
    from lockstep_internal.slack_delivery o where o.status = 'waiting' and o.schema = status_report.schema group by o.channel),
done as materialized (
  select count(*) filter (where o.status = 'delivered') as delivered, count(*) filter (where o.status = 'failed') as failed
    from lockstep_internal.slack_delivery o
   where o.status <> 'waiting' and o.done_at > (select clock_timestamp() - interval '1 hour') and o.schema = status_report.schema),
-- Without what nobody wants any more.
failed as materialized (
  select coalesce(o.error, 'unknown_error') as error, o.needed, o.channel, count(*) as deliveries, max(o.done_at) as last_at
    from lockstep_internal.slack_delivery o where o.status = 'failed' and o.schema = status_report.schema
     and (o.error in ('unsubscribed', 'archived', 'pending_delete', 'project_gone', 'silent_mode')) is not true group by 1, 2, 3),
-- A row of nulls: they are not known.
unreached as materialized (
  select t.team_id, t.channel, t.error, t.needed, t.failures, t.last_at from lockstep_internal.channel_troubles(status_report.schema) t)
select jsonb_build_object(
  'at', clock_timestamp(),
  'is_held', (
    select count(*) <> 2 or bool_or(h.database <> (select d.oid from pg_database d where d.datname = current_database()))
      from (select j.database from lockstep_internal.home j union all select s.database from lockstep_internal.slack_home s) h),
  'queue', (
    select coalesce(jsonb_agg(to_jsonb(w) || jsonb_build_object('oldest_seconds', extract(epoch from clock_timestamp() - w.oldest))
             order by w.worker collate "C"), '[]') from lockstep.worker_status w
     where not w.drained or w.renamed_to is not null),
  'deliveries', (
    select jsonb_build_object(
             'waiting', coalesce(sum(w.waiting), 0), 'oldest', min(w.oldest),
             'oldest_seconds', extract(epoch from clock_timestamp() - min(w.oldest)),
             'delivered_last_hour', (select d.delivered from done d),
             'failed_last_hour', (select d.failed from done d),
             'channels_waiting', count(*),
             'channels_held', (
               select count(*) from lockstep_internal.slack_channel c
                where c.schema = status_report.schema and c.not_before > (select clock_timestamp() + interval '1 second')),
             'channels', coalesce((
               select jsonb_agg(to_jsonb(t) order by t.waiting desc, t.team_id collate "C", t.channel collate "C")
                 from (select c.team_id, c.channel, o.waiting, o.oldest, extract(epoch from clock_timestamp() - o.oldest) as oldest_seconds,
                              case when l.not_before > clock_timestamp() then l.not_before end as held_until,
                              case when l.not_before > clock_timestamp() and l.not_before < 'infinity'
                                then extract(epoch from l.not_before - clock_timestamp()) end as held_for_seconds,
                              coalesce(t.error, d.error) as last_error, coalesce(t.needed, d.needed) as needed
                         from (select * from waiting m order by m.waiting desc, m.channel limit 20) o
                         join lockstep_internal.slack_channel c on c.id = o.channel
                         join lockstep_internal.slack_channel l on l.id = coalesce(c.same_as, c.id)
                         join lockstep_internal.slack_delivery d on d.id = o.first
                         left join lateral (
                           select r.error, r.needed
                             from (select i.error, i.needed, i.last_at from lockstep_internal.slack_channel_trouble i
                                    where i.schema = c.schema and i.team_id = c.team_id and i.channel = c.channel
                                    union all
                                   select s.error, s.needed, s.failed_at from lockstep_internal.slack_subscription s
                                    where s.schema = c.schema and s.team_id = c.team_id and s.channel = c.channel and s.error is not null) r
                            order by r.last_at desc limit 1) t on true) t), '[]'))
      from waiting w),
  'failures', (
    select coalesce(jsonb_agg(to_jsonb(f) order by f.deliveries desc, f.error collate "C", f.needed collate "C"), '[]')
      from (select d.error, d.needed, sum(d.deliveries) as deliveries, count(*) as channels, max(d.last_at) as last_at,
                   extract(epoch from clock_timestamp() - max(d.last_at)) as age_seconds,
                   -- To users, by a reminder to a channel of its own, or to a channel that is reached again.
                   coalesce(sum(d.deliveries) filter (
                     where ((c.team_id, c.channel) in (select u.team_id, u.channel from unreached u)) is not true), 0) as in_no_trouble,
                   coalesce((array_agg(distinct c.channel) filter (where c.channel is not null))[1:5], '{}') as names
              from failed d left join lockstep_internal.slack_channel c on c.id = d.channel group by d.error, d.needed) f),
  'troubles', (
    select case when (select count(*) = count(u.error) from unreached u)
             then coalesce(jsonb_agg(to_jsonb(f) order by f.channels desc, f.error collate "C", f.needed collate "C"), '[]') end
      from (select t.error, t.needed, count(distinct (t.team_id, t.channel)) as channels, sum(t.failures) as messages, max(t.last_at) as last_at,
                   extract(epoch from clock_timestamp() - max(t.last_at)) as age_seconds,
                   (array_agg(distinct t.channel))[1:5] as names
              from unreached t group by t.error, t.needed) f),
  'has_more_troubles', (
    select count(*) > 1000 from (select from lockstep_internal.slack_channel_trouble r where r.schema = status_report.schema limit 1001) m),
  'backfills', (
    select coalesce(jsonb_agg(to_jsonb(b) - 'pids' - 'role' - 'settings'
             || jsonb_build_object('remaining_seconds', extract(epoch from b.remaining),
                                  'age_seconds', extract(epoch from clock_timestamp() - coalesce(b.finished_at, b.started_at))) order by b.run desc), '[]')
      from (select * from lockstep.backfill_progress p order by p.run desc limit 20) b),
  'cache_columns', (
    select coalesce(jsonb_agg(jsonb_build_object('table', c.target_table::text, 'column', c.target_column, 'state', c.state)
             order by c.target_table::text collate "C", c.target_column collate "C"), '[]')
      from lockstep.cache_columns c),
  'drift', (
    select coalesce(jsonb_agg(jsonb_build_object(
             'what', d.what, 'rows', d.rows, 'is_more', d.is_more, 'checked_at', d.checked_at,
             'age_seconds', extract(epoch from clock_timestamp() - d.checked_at))), '[]')
      from lockstep.drift_checks(status_report.schema) d),
  'features', lockstep_internal.feature_report(status_report.schema))
$$;
comment on function lockstep.status_report(text) is
  'what a status page shows: queue, deliveries, failures by cause, channels that cannot be reached, backfills, feature flags, cache columns, drift as last counted; whoever may call it sees those of all';
revoke execute on function lockstep.status_report(text) from public;
grant execute on function lockstep.status_report(text) to lockstep_admin;

create function lockstep_api.chatops_workers()
returns jsonb language sql security definer set search_path = pg_catalog, pg_temp
as $$
select coalesce(jsonb_agg(jsonb_build_object(
          'worker', s.worker, 'renamed_to', s.renamed_to, 'feature', s.feature, 'enqueued', s.enqueued,
          'running', s.running, 'dead', s.dead, 'drained', s.drained,
          'retired_at', to_char(s.retired_at at time zone 'utc', 'YYYY-MM-DD HH24:MI')) order by s.worker), '[]')
   from lockstep.worker_status s
$$;
comment on function lockstep_api.chatops_workers() is
  'lockstep.worker_status, for chatops';
revoke execute on function lockstep_api.chatops_workers() from public;

-- Usually asked for are the active runs; over time there are many others.
create function lockstep_api.chatops_backfills(run bigint default null)
returns jsonb language sql security definer set search_path = pg_catalog, pg_temp
as $$
select jsonb_build_object('total', (select count(*) from lockstep.backfill_progress t where chatops_backfills.run is null or t.run = chatops_backfills.run),
                           'runs', coalesce(jsonb_agg(p.run order by p.has_ended, (p.run ->> 'run')::bigint desc), '[]'))
   from (select p.status in ('finished', 'cancelled') as has_ended, jsonb_build_object(
                  'run', p.run, 'job', p.job, 'table', p.target_table::text, 'status', p.status, 'percent', p.percent,
                  'scanned', p.scanned, 'updated', p.updated, 'unresolved', p.unresolved,
                  'rows_per_second', p.rows_per_second,
                  'remaining', p.remaining::text, 'held_by', p.held_by, 'set_aside', p.set_aside,
                  'last_error', p.last_error, 'role', p.role::text,
                  'started_at', to_char(p.started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'),
                  'finished_at', to_char(p.finished_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'))
           from lockstep.backfill_progress p
          where chatops_backfills.run is null or p.run = chatops_backfills.run
          order by has_ended, p.run desc limit 30) p (has_ended, run)
$$;
comment on function lockstep_api.chatops_backfills(bigint) is
  'the number of backfill runs, the active ones and the last of the others; or one run; for all owners: lockstep.backfill_progress, for chatops';
revoke execute on function lockstep_api.chatops_backfills(bigint) from public;

create function lockstep_api.chatops_incidents()
returns jsonb language sql security definer set search_path = pg_catalog, pg_temp
as $$
select coalesce(jsonb_agg(jsonb_build_object(
          'id', i.id, 'title', i.title, 'severity', i.severity, 'declared_by', i.declared_by,
          'declared_at', to_char(i.declared_at at time zone 'utc', 'YYYY-MM-DD HH24:MI')) order by i.id), '[]')
   from lockstep.chatops_incident i where i.closed_at is null
$$;
comment on function lockstep_api.chatops_incidents() is
  'incidents that are open';
revoke execute on function lockstep_api.chatops_incidents() from public;
