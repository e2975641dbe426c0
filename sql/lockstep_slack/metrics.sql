-- What monitoring reads.

-- Not dumped: a count is valid only for the database in which it was made.
create table lockstep_internal.drift_check (
  schema text not null
    constraint drift_check_schema_check check (pg_catalog.length(schema) <= 255),
  what text not null
    constraint drift_check_what_check check (pg_catalog.length(what) <= 255),
  rows bigint not null,
  is_more boolean not null,
  checked_at timestamptz not null,
  constraint drift_check_pkey primary key (schema, what)
);
comment on table lockstep_internal.drift_check is
  'the last count of rows that differ, by cache column, and of Slack integrations; written by lockstep.drift_report and lockstep_api.chatops_drift';

create function lockstep.drift_checks(schema text default 'public')
returns table (what text, rows bigint, is_more boolean, checked_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
select coalesce(k.what, c.what), c.rows, c.is_more, c.checked_at
  from (select array_to_string(d.target_name, '.') || '.' || d.target_column from lockstep_internal.cache_column_definition d) k (what)
  full join (select * from lockstep_internal.drift_check a where a.schema = drift_checks.schema) c on c.what = k.what
 where (select lockstep_internal.is_schema(drift_checks.schema))
 order by coalesce(k.what, c.what) collate "C"
$$;
comment on function lockstep.drift_checks(text) is
  'how many rows differed when they were last counted, and when that was; null for what was never counted';
revoke execute on function lockstep.drift_checks(text) from public;
grant execute on function lockstep.drift_checks(text) to lockstep_admin;

-- It is asked every few seconds, so what it reads does not grow with what waits. Up to 10,000 jobs of a worker, or deliveries, are counted by
-- an index; beyond, the number is an estimate from a sample of 1,000 pages of the table. Dead, scheduled and blocked jobs, and failed deliveries, count up
-- to 10,000 in all. The oldest is the first of each worker and priority, or of each channel, by the same index, or one of the blocked jobs that are
-- counted.
create function lockstep.metrics_report(schema text default 'public')
returns jsonb language sql volatile security definer set search_path = pg_catalog, pg_temp
-- Statistics of tables that change so fast are old ones: what is to be read by an index is, and nothing is compiled for it.
set enable_seqscan = off set jit = off
as $$
with recursive
first_job (worker, priority, run_at) as (
  (select j.worker, j.priority, j.run_at from lockstep_internal.job j
    where j.status = 'waiting' order by j.worker, j.priority, j.run_at limit 1)
  union all
  select n.worker, n.priority, n.run_at
    from first_job f
   cross join lateral (
     select j.worker, j.priority, j.run_at from lockstep_internal.job j
      where j.status = 'waiting' and (j.worker, j.priority) > (f.worker, f.priority)
      order by j.worker, j.priority, j.run_at limit 1) n),
oldest_job as materialized (select f.worker, min(f.run_at) as since from first_job f group by f.worker),
job_sample as materialized (
  select s.worker, count(*) * 100 / (select p.percent from job_percent p) as jobs
    from lockstep_internal.job s tablesample system ((select p.percent from job_percent p)) repeatable (0)
   where s.status = 'waiting' group by s.worker),
job_percent (percent) as materialized (
  select least(100, 100.0 * 1000 / greatest(pg_relation_size('lockstep_internal.job') / current_setting('block_size')::int, 1))::float4),
waiting_job as materialized (
  select o.worker, case
           when c.jobs <= 10000 then c.jobs
           else greatest(10000, (select s.jobs from job_sample s where s.worker = o.worker))
         end::bigint as jobs, o.since
    from oldest_job o
   cross join lateral (
     select count(*) from (select from lockstep_internal.job j where j.status = 'waiting' and j.worker = o.worker limit 10001) l) c (jobs)),
other_job as materialized (
  select l.worker, count(*) filter (where l.status = 'scheduled') as scheduled, count(*) filter (where l.status = 'running') as running,
         count(*) filter (where l.status = 'dead') as dead, count(*) filter (where l.status = 'blocked') as blocked,
         min(l.run_at) filter (where l.status = 'blocked') as blocked_since
    from ((select j.worker, j.status, j.run_at from lockstep_internal.job j where j.status = 'running')
          union all (select j.worker, j.status, j.run_at from lockstep_internal.job j where j.status = 'dead' limit 10000)
          union all (select j.worker, j.status, j.run_at from lockstep_internal.job j where j.status = 'blocked' limit 10000)
          union all (select j.worker, j.status, j.run_at from lockstep_internal.job j where j.status = 'scheduled' limit 10000)) l
   group by l.worker),
worker (name) as (
  select w.name from lockstep_internal.worker w union select h.name from lockstep_internal.host_worker h union select r.old_name from lockstep_internal.worker_rename r
   union select r.new_name from lockstep_internal.worker_rename r union select w.worker from waiting_job w union select o.worker from other_job o),
-- A message that is to be sent later does not wait before.
first_delivery (lane, id, due_at) as (
  (select d.lane, d.id, greatest(d.created_at, d.not_before) from lockstep_internal.slack_delivery d where d.status = 'waiting' order by d.lane, d.id limit 1)
  union all
  select n.lane, n.id, n.due_at
    from first_delivery f
   cross join lateral (
     select d.lane, d.id, greatest(d.created_at, d.not_before) as due_at from lockstep_internal.slack_delivery d
      where d.status = 'waiting' and d.lane > f.lane order by d.lane, d.id limit 1) n),
delivery_percent (percent) as materialized (
  select least(100, 100.0 * 1000 / greatest(pg_relation_size('lockstep_internal.slack_delivery') / current_setting('block_size')::int, 1))::float4),
waiting_delivery as materialized (
  select case
           when c.deliveries <= 10000 then c.deliveries
           else greatest(10000, (
             select count(*) * 100 / (select p.percent from delivery_percent p)
               from lockstep_internal.slack_delivery s tablesample system ((select p.percent from delivery_percent p)) repeatable (0)
              where s.status = 'waiting'))
         end::bigint as deliveries
    from (select count(*) from (select from lockstep_internal.slack_delivery d where d.status = 'waiting' limit 10001) l) c (deliveries)),
cause as materialized (
  select coalesce(l.error, 'unknown_error') as cause, count(*) as deliveries
    from (select d.error from lockstep_internal.slack_delivery d where d.status = 'failed' limit 10000) l group by 1),
last_run as materialized (
  select p.* from lockstep.backfill_progress p
   where p.run in (select max(r.id) from lockstep_internal.backfill_run r group by r.job, r.target_table))
select jsonb_build_object(
  'extension', (select e.extversion from pg_extension e where e.extname = 'lockstep_slack'),
  'is_held', (
    select count(*) <> 2 or bool_or(h.database <> (select d.oid from pg_database d where d.datname = current_database()))
      from (select j.database from lockstep_internal.home j union all select s.database from lockstep_internal.slack_home s) h),
  'jobs', (
    select coalesce(jsonb_agg(jsonb_build_object(
             'worker', w.name, 'scheduled', coalesce(o.scheduled, 0), 'waiting', coalesce(q.jobs, 0), 'running', coalesce(o.running, 0),
             'dead', coalesce(o.dead, 0), 'blocked', coalesce(o.blocked, 0), 'oldest_seconds', coalesce(extract(epoch from clock_timestamp() - least(q.since, o.blocked_since)), 0))), '[]')
      from worker w left join waiting_job q on q.worker = w.name left join other_job o on o.worker = w.name),
  'runners', (select count(*) from lockstep_internal.job_runner r where r.leased_until > clock_timestamp()),
  'deliveries', jsonb_build_object(
    'waiting', (select w.deliveries from waiting_delivery w),
    'oldest_seconds', (
      select coalesce(extract(epoch from clock_timestamp() - min(f.due_at) filter (where f.due_at <= clock_timestamp())), 0)
        from (select d.due_at from first_delivery d limit 10000) f),
    'failed', (
      select coalesce(jsonb_object_agg(f.cause, f.deliveries), '{}')
        from (select case when r.rank <= 20 then r.cause else 'other' end as cause, sum(r.deliveries) as deliveries
                from (select c.*, row_number() over (order by c.deliveries desc, c.cause) as rank from cause c) r group by 1) f)),
  'workspaces', (
    select jsonb_build_object(
             'installed', count(*) filter (where i.encrypted_bot_access_token is not null),
             'not_refreshed', count(*) filter (where i.refresh_error is not null),
             'first_expiry', extract(epoch from min(i.expires_at)))
      from lockstep_internal.slack_installation i where i.schema = metrics_report.schema),
  'backfills', (
    select coalesce(jsonb_agg(jsonb_build_object(
             'job', r.job, 'table', r.target_table::text, 'status', r.status, 'percent', r.percent, 'scanned', r.scanned, 'updated', r.updated,
             'rows_estimated', r.rows_estimated, 'rows_per_second', case when r.status = 'running' then r.rows_per_second end,
             'set_aside', r.set_aside,
             'held_by', r.held_cause)), '[]')
      from last_run r),
  'cache_columns', (
    select coalesce(jsonb_agg(jsonb_build_object(
             'table', c.target_table::text, 'column', c.target_column, 'is_active', c.state = 'active')), '[]')
      from lockstep.cache_columns c),
  'drift', (
    select coalesce(jsonb_agg(jsonb_build_object(
             'what', c.what, 'rows', c.rows, 'checked_at', extract(epoch from c.checked_at))), '[]')
      from lockstep.drift_checks(metrics_report.schema) c),
  'feature_changed_at', (
    select extract(epoch from a.changed_at) from lockstep.feature_audit a order by a.id desc limit 1))
 where (select lockstep_internal.is_schema(metrics_report.schema))
$$;
comment on function lockstep.metrics_report(text) is
  'what monitoring needs of the database: jobs, deliveries, workspaces, backfills, cache columns, drift as last counted; cheap however much waits';
revoke execute on function lockstep.metrics_report(text) from public;
grant execute on function lockstep.metrics_report(text) to lockstep_admin;
