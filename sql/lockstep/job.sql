-- How often a worker's jobs are retried, and whether a dead job is kept: as a DBA set it, otherwise as GitLab does, otherwise
-- Sidekiq's defaults, 25 retries and kept.
create table lockstep_internal.worker (
  name text not null
    constraint worker_pkey primary key
    constraint worker_name_check check (name <> '' and pg_catalog.length(name) <= 255),
  retries integer not null
    constraint worker_retries_check check (retries between 0 and 100),
  keeps_dead boolean not null
);
comment on table lockstep_internal.worker is 'workers with retry rules of their own; written by lockstep.define_worker alone';
select pg_catalog.pg_extension_config_dump('lockstep_internal.worker', '');

-- A separate table, because a dump must not contain rows that the extension itself inserts.
create table lockstep_internal.host_worker (
  name text not null
    constraint host_worker_pkey primary key
    constraint host_worker_name_check check (pg_catalog.length(name) <= 255),
  retries integer not null,
  keeps_dead boolean not null
);
comment on table lockstep_internal.host_worker is 'GitLab''s workers, with their retry rules';

create table lockstep_internal.worker_rename (
  old_name text not null
    constraint worker_rename_pkey primary key
    constraint worker_rename_old_name_check check (pg_catalog.length(old_name) <= 255),
  new_name text not null
    constraint worker_rename_new_name_key unique
    constraint worker_rename_new_name_check check (pg_catalog.length(new_name) <= 255),
  feature text not null,
  feature_schema text not null,
  is_built_in boolean not null default false,
  constraint worker_rename_check check (old_name <> new_name)
);
comment on table lockstep_internal.worker_rename is
  'while the feature is off jobs are enqueued under the old name, else under the new one; written by lockstep.rename_worker alone';
select pg_catalog.pg_extension_config_dump('lockstep_internal.worker_rename', 'where not is_built_in');

-- Separate from the renames, so that a dump includes it for built-in renames as well.
create table lockstep_internal.retired_worker (
  name text not null
    constraint retired_worker_pkey primary key
    constraint retired_worker_name_check check (pg_catalog.length(name) <= 255),
  retired_at timestamptz not null default pg_catalog.now()
);
comment on table lockstep_internal.retired_worker is 'old names that jobs are no longer enqueued under; written by lockstep.retire_worker alone';
select pg_catalog.pg_extension_config_dump('lockstep_internal.retired_worker', '');

-- Without a row there is no limit, and a claim does not look for running jobs.
create table lockstep_internal.worker_limit (
  name text not null
    constraint worker_limit_pkey primary key
    constraint worker_limit_name_check check (pg_catalog.length(name) <= 255),
  concurrency integer
    constraint worker_limit_concurrency_check check (concurrency between 1 and 10000),
  rate integer
    constraint worker_limit_rate_check check (rate between 1 and 10000),
  period interval
    constraint worker_limit_period_length_check check (period between '1 second' and '31 days'),
  -- The same for the jobs of each concurrency key.
  key_concurrency integer
    constraint worker_limit_key_concurrency_check check (key_concurrency between 1 and 10000),
  key_rate integer
    constraint worker_limit_key_rate_check check (key_rate between 1 and 10000),
  key_period interval
    constraint worker_limit_key_period_length_check check (key_period between '1 second' and '31 days'),
  constraint worker_limit_period_check check ((rate is null) = (period is null) and (key_rate is null) = (key_period is null))
);
comment on table lockstep_internal.worker_limit is
  'how many jobs of a worker, or of each of its concurrency keys, run at once and start within a period; written by lockstep.limit_worker alone';
select pg_catalog.pg_extension_config_dump('lockstep_internal.worker_limit', '');

create table lockstep_internal.job_schedule (
  name text not null
    constraint job_schedule_pkey primary key
    constraint job_schedule_name_check check (name <> '' and pg_catalog.length(name) <= 100),
  cron text not null,
  time_zone text not null,
  worker text not null,
  args jsonb not null,
  priority integer not null,
  missed text not null
    constraint job_schedule_missed_check check (missed in ('run_once', 'skip')),
  -- Infinity if there is none.
  next_at timestamptz not null,
  last_at timestamptz
);
comment on table lockstep_internal.job_schedule is 'recurring jobs; written by lockstep.schedule_job and by claims';
create index job_schedule_next_idx on lockstep_internal.job_schedule (next_at);
select pg_catalog.pg_extension_config_dump('lockstep_internal.job_schedule', '');

create view lockstep.job_schedules as
select s.name, s.cron, s.time_zone, s.worker, s.args, s.priority, s.missed, s.next_at, s.last_at from lockstep_internal.job_schedule s;
comment on view lockstep.job_schedules is 'recurring jobs; lockstep.schedule_job sets one, lockstep.unschedule_job removes it';
comment on column lockstep.job_schedules.name is 'name of the schedule';
comment on column lockstep.job_schedules.cron is 'cron expression with the times of the job';
comment on column lockstep.job_schedules.time_zone is 'time zone that the expression is meant in';
comment on column lockstep.job_schedules.worker is 'worker that the job is enqueued for';
comment on column lockstep.job_schedules.args is 'arguments of the job';
comment on column lockstep.job_schedules.priority is 'priority of the job';
comment on column lockstep.job_schedules.missed is 'what becomes of times that pass while no runner is there: run_once or skip';
comment on column lockstep.job_schedules.next_at is 'when the job is enqueued next';
comment on column lockstep.job_schedules.last_at is 'time for which it was enqueued last';
grant select on lockstep.job_schedules to lockstep_admin;

-- Members of such a role may only run workers with this prefix.
create table lockstep_internal.runner_limit (
  role text not null
    constraint runner_limit_pkey primary key
    constraint runner_limit_role_check check (pg_catalog.length(role) <= 63),
  workers text not null
    constraint runner_limit_workers_check check (workers <> '')
);
comment on table lockstep_internal.runner_limit is
  'roles whose runners only claim jobs of workers whose names begin with a text; written by extensions that build on lockstep';

-- The lease belongs to the runner, not to the job: a runner with a thousand jobs renews one row.
create table lockstep_internal.job_runner (
  id bigint generated always as identity
    constraint job_runner_pkey primary key,
  name text not null
    constraint job_runner_name_check check (pg_catalog.length(name) <= 255),
  -- Only this role acts for it.
  role name not null,
  -- The prefix of the workers that it may run; empty for all.
  workers text not null default '',
  lease_for interval not null,
  leased_until timestamptz not null,
  started_at timestamptz not null default pg_catalog.clock_timestamp()
) with (fillfactor = 50);
comment on table lockstep_internal.job_runner is 'who runs jobs; when a lease ends, others take over the jobs';
select pg_catalog.pg_extension_config_dump('lockstep_internal.job_runner', '');
select pg_catalog.pg_extension_config_dump('lockstep_internal.job_runner_id_seq', '');

create table lockstep_internal.job (
  id bigint generated always as identity
    constraint job_pkey primary key,
  worker text not null
    constraint job_worker_check check (worker <> '' and pg_catalog.length(worker) <= 255),
  args jsonb not null,
  -- The worker's first name: a key is unique across all its names.
  unique_worker text
    constraint job_unique_worker_check check (pg_catalog.length(unique_worker) <= 255),
  unique_key text
    constraint job_unique_key_check check (pg_catalog.length(unique_key) <= 255),
  -- A job that starts gives its key up, unless it keeps it until it has ended.
  holds_key boolean not null default false,
  keeps_key boolean not null default false,
  priority integer not null,
  run_at timestamptz not null,
  status text not null
    constraint job_status_check check (status in ('scheduled', 'waiting', 'blocked', 'running', 'dead')),
  runner bigint,
  -- How often the job failed, and how often its runner was lost.
  failures integer not null default 0,
  losses integer not null default 0,
  retries integer not null,
  keeps_dead boolean not null,
  last_error text,
  enqueued_at timestamptz not null default pg_catalog.clock_timestamp(),
  started_at timestamptz,
  died_at timestamptz,
  -- The transaction that let the job wait, or changed its place among those that wait.
  queued_by xid8 not null default pg_catalog.pg_current_xact_id(),
  -- The jobs of a worker with the same key share its limits for keys.
  concurrency_key text
    constraint job_concurrency_key_check check (pg_catalog.length(concurrency_key) <= 255),
  constraint job_runner_check check ((status = 'running') = (runner is not null))
) with (
  -- A job creates three row versions, and most of the table is deleted a moment later: vacuum must not wait for a fifth of it.
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.2
);
comment on table lockstep_internal.job is 'jobs that are not done; written by the functions of lockstep alone';
create index job_waiting_idx on lockstep_internal.job (worker, priority, run_at, id) where status = 'waiting';
create index job_queued_by_idx on lockstep_internal.job (worker, queued_by) where status = 'waiting';
create index job_scheduled_idx on lockstep_internal.job (run_at) where status = 'scheduled';
create index job_running_idx on lockstep_internal.job (runner) where status = 'running';
-- To count them. By worker it would look like the index of keys, which finds the blocked jobs of one.
create index job_blocked_idx on lockstep_internal.job (status) where status = 'blocked';
create index job_dead_idx on lockstep_internal.job (died_at) where status = 'dead';
-- One index counts what runs with a key, and finds the first that is blocked.
create index job_concurrency_key_idx on lockstep_internal.job (worker, concurrency_key, status, priority, run_at, id) where concurrency_key is not null;
create unique index job_unique_key on lockstep_internal.job (unique_worker, unique_key) where holds_key and status <> 'dead';
select pg_catalog.pg_extension_config_dump('lockstep_internal.job', '');
select pg_catalog.pg_extension_config_dump('lockstep_internal.job_id_seq', '');

-- A row counts against a rate until the period since its time is over. After that, a job of the key that is blocked may start; so a job that ends
-- leaves a row of a time long ago. Whoever ends a job only inserts, so it waits for nobody; claims, one at a time for a worker, remove rows.
create table lockstep_internal.worker_limit_use (
  worker text not null
    constraint worker_limit_use_worker_check check (pg_catalog.length(worker) <= 255),
  -- Null where it counts against the rate of the whole worker.
  concurrency_key text
    constraint worker_limit_use_concurrency_key_check check (pg_catalog.length(concurrency_key) <= 255),
  jobs integer not null,
  started_at timestamptz not null
);
comment on table lockstep_internal.worker_limit_use is 'what counts against the rates of workers, and keys that have room again; written by claims and by jobs that end';
-- A publication of all tables includes this one, which has no key.
alter table lockstep_internal.worker_limit_use replica identity full;
create index worker_limit_use_key_idx on lockstep_internal.worker_limit_use (worker, concurrency_key, started_at);
create index worker_limit_use_time_idx on lockstep_internal.worker_limit_use (worker, started_at) where concurrency_key is not null;

-- Unlogged: after a crash the next claims read what they need once more.
create unlogged table lockstep_internal.job_place (
  worker text not null
    constraint job_place_pkey primary key
    constraint job_place_worker_check check (pg_catalog.length(worker) <= 255),
  priority integer not null,
  run_at timestamptz not null,
  id bigint not null,
  -- Those that had not ended when it was found, and those that queued the few jobs which were found before it.
  unseen_from xid8 not null,
  unseen xid8[] not null
);
comment on table lockstep_internal.job_place is
  'where claims begin to look for a worker''s jobs: those that wait before were queued by certain transactions, all from one on and others; written by claims that read many jobs';

create view lockstep.dead_jobs as
select j.id as job, j.worker, j.args, j.unique_key, j.failures, j.losses, j.last_error, j.enqueued_at, j.died_at
  from lockstep_internal.job j where j.status = 'dead';
comment on view lockstep.dead_jobs is
  'jobs that failed for good; lockstep.retry_job and lockstep.retry_dead_jobs try them again, lockstep.discard_job removes one';
comment on column lockstep.dead_jobs.job is 'number of the job; lockstep.retry_job and lockstep.discard_job take it';
comment on column lockstep.dead_jobs.worker is 'name of the worker that it was enqueued for';
comment on column lockstep.dead_jobs.args is 'arguments of the job';
comment on column lockstep.dead_jobs.unique_key is 'its unique key, if it has one';
comment on column lockstep.dead_jobs.failures is 'how often it failed';
comment on column lockstep.dead_jobs.losses is 'how often its runner was lost while it ran';
comment on column lockstep.dead_jobs.last_error is 'error of the last failure';
comment on column lockstep.dead_jobs.enqueued_at is 'when it was enqueued';
comment on column lockstep.dead_jobs.died_at is 'when it failed for good';
grant select on lockstep.dead_jobs to lockstep_admin;

create view lockstep.worker_status as
select n.name as worker, r.new_name as renamed_to, r.feature,
       coalesce(c.enqueued, 0) as enqueued, coalesce(c.scheduled, 0) as scheduled, coalesce(c.running, 0) as running,
       coalesce(c.dead, 0) as dead, c.oldest, c.worker is null as drained, t.retired_at, l.concurrency, coalesce(c.blocked, 0) as blocked
  from (select w.name from lockstep_internal.worker w union select h.name from lockstep_internal.host_worker h union select o.old_name from lockstep_internal.worker_rename o
        union select o.new_name from lockstep_internal.worker_rename o union select m.name from lockstep_internal.worker_limit m union select j.worker from lockstep_internal.job j) n
  left join lockstep_internal.worker_rename r on r.old_name = n.name
  left join lockstep_internal.retired_worker t on t.name = n.name
  left join lockstep_internal.worker_limit l on l.name = n.name
  left join (
    select j.worker, pg_catalog.count(*) filter (where j.status in ('scheduled', 'waiting', 'blocked')) as enqueued,
           pg_catalog.count(*) filter (where j.status = 'scheduled') as scheduled,
           pg_catalog.count(*) filter (where j.status = 'blocked') as blocked,
           pg_catalog.count(*) filter (where j.status = 'running') as running,
           pg_catalog.count(*) filter (where j.status = 'dead') as dead,
           pg_catalog.min(j.run_at) filter (where j.status in ('waiting', 'blocked', 'running')) as oldest
      from lockstep_internal.job j group by j.worker
  ) c on c.worker = n.name;
comment on view lockstep.worker_status is
  'jobs by the name they were enqueued under; scheduled ones are among the enqueued; drained: none is left, so an old name can be retired';
comment on column lockstep.worker_status.worker is 'name of the worker';
comment on column lockstep.worker_status.renamed_to is 'its new name, if the worker is being renamed';
comment on column lockstep.worker_status.feature is 'feature flag that switches to the new name';
comment on column lockstep.worker_status.enqueued is 'jobs that wait, those scheduled for later included';
comment on column lockstep.worker_status.scheduled is 'jobs that wait for a later time';
comment on column lockstep.worker_status.running is 'jobs that a runner has';
comment on column lockstep.worker_status.dead is 'jobs that failed for good';
comment on column lockstep.worker_status.oldest is 'since when the oldest job waits or runs';
comment on column lockstep.worker_status.drained is 'whether no job of this name is left';
comment on column lockstep.worker_status.retired_at is 'when the name was retired by lockstep.retire_worker';
comment on column lockstep.worker_status.concurrency is 'how many of its jobs run at once at most, if it has a limit';
comment on column lockstep.worker_status.blocked is 'jobs that wait until the limit of their concurrency key lets them start; they are among the enqueued';
-- Without arguments and errors, which only concern those who run jobs.
grant select on lockstep.worker_status to lockstep_admin, pg_monitor;

create view lockstep.worker_limits as
select l.name as worker, b.by, b.concurrency, b.rate, b.period
  from lockstep_internal.worker_limit l
 cross join lateral (values ('worker', l.concurrency, l.rate, l.period), ('key', l.key_concurrency, l.key_rate, l.key_period)) b (by, concurrency, rate, period)
 where b.concurrency is not null or b.rate is not null;
comment on view lockstep.worker_limits is 'limits of workers; lockstep.limit_worker sets them';
comment on column lockstep.worker_limits.worker is 'name of the worker';
comment on column lockstep.worker_limits.by is 'worker if the limit is for all its jobs together, key if it is for those of each concurrency key';
comment on column lockstep.worker_limits.concurrency is 'how many run at once at most';
comment on column lockstep.worker_limits.rate is 'how many start within the period at most';
comment on column lockstep.worker_limits.period is 'period of the rate';
grant select on lockstep.worker_limits to lockstep_admin, pg_monitor;

insert into lockstep_internal.host_worker (name, retries, keeps_dead)
select n.name, 3, n.keeps_dead
  from (values ('ProjectServiceWorker', false), ('Integrations::ExecuteWorker', false),
               ('IrkerWorker', true), ('Integrations::IrkerWorker', true),
               ('Clusters::Applications::ActivateServiceWorker', true), ('Clusters::Applications::ActivateIntegrationWorker', true),
               ('Clusters::Applications::DeactivateServiceWorker', true),
               ('Clusters::Applications::DeactivateIntegrationWorker', true)) n (name, keeps_dead);
insert into lockstep_internal.worker_rename (old_name, new_name, feature, feature_schema, is_built_in)
select n.old_name, n.new_name, 'rename_integrations_workers', 'public', true
  from (values ('ProjectServiceWorker', 'Integrations::ExecuteWorker'),
               ('IrkerWorker', 'Integrations::IrkerWorker'),
               ('Clusters::Applications::ActivateServiceWorker', 'Clusters::Applications::ActivateIntegrationWorker'),
               ('Clusters::Applications::DeactivateServiceWorker', 'Clusters::Applications::DeactivateIntegrationWorker'))
       n (old_name, new_name);
