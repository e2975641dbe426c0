-- Jobs registered by DBAs, saved by pg_dump. Built-in jobs are code.
create table lockstep.backfill_job (
  name text not null
    constraint backfill_job_pkey primary key
    constraint backfill_job_name_check check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  -- Names, here and below, as in a dump: if a table or role is missing where it is restored, only this row is lost.
  target_table text not null,
  key_columns name[] not null
    constraint backfill_job_key_columns_check check (pg_catalog.cardinality(key_columns) > 0),
  statement text not null,
  settings jsonb not null,
  created_at timestamptz not null default pg_catalog.now(),
  owner name not null
);
comment on table lockstep.backfill_job is 'jobs registered by lockstep.register_backfill_job, which alone writes it';
comment on column lockstep.backfill_job.statement is 'one update; {range} stands for the condition on the key';
comment on column lockstep.backfill_job.settings is
  'settings of the session that registered the job which say what its statement means, such as search_path and DateStyle; it runs under them';
comment on column lockstep.backfill_job.owner is
  'owner of the table when the job was registered: may still remove the job when no table has that name, as members of lockstep_admin may';
select pg_catalog.pg_extension_config_dump('lockstep.backfill_job', '');
grant select on lockstep.backfill_job to public;

-- Jobs of extensions that build on lockstep: their tables, and a function that processes a schema's rows in a range of keys and
-- returns how many it wrote. It runs as lockstep_owner.
create table lockstep_internal.backfill_function (
  job text not null
    constraint backfill_function_pkey primary key
    constraint backfill_function_job_check check (pg_catalog.length(job) <= 63),
  target_table name not null,
  -- Schema and name, because pg_upgrade rejects columns of type regprocedure.
  function_schema name not null,
  function_name name not null
);
comment on table lockstep_internal.backfill_function is
  'jobs of extensions that build on lockstep, each a function (schema text, first bigint, last bigint) returns bigint';

-- A run is work in progress, so it is not dumped. Its counts cover finished ranges.
create table lockstep_internal.backfill_run (
  id bigint generated always as identity
    constraint backfill_run_pkey primary key,
  job text not null,
  target_table regclass not null,
  status text not null default 'running'
    constraint backfill_run_status_check check (status in ('running', 'paused', 'cancelled', 'finished', 'failed')),
  workers integer not null,
  settings jsonb not null,
  -- The key up to which ranges have been handed out, and the last key when the run started; empty for none.
  handed_out text[] not null default '{}',
  last_key text[] not null,
  rows_estimated bigint not null,
  scanned bigint not null default 0,
  updated bigint not null default 0,
  unresolved jsonb not null default '{}',
  longest_ms double precision not null default 0,
  last_error text,
  -- Why it is paused, unless somebody paused it.
  held_by text,
  -- When background workers were asked for, as they take a moment.
  workers_asked_at timestamptz,
  started_at timestamptz not null default pg_catalog.now(),
  finished_at timestamptz,
  -- The owner of the table when somebody last started or changed the run: once the table is gone, whose it still is.
  role oid
) with (fillfactor = 50);
comment on table lockstep_internal.backfill_run is 'runs of jobs; written by the functions of lockstep alone';
create unique index backfill_run_target_table_key on lockstep_internal.backfill_run (target_table)
  where status in ('running', 'paused');

-- Updated with every sub-batch, in the transaction that writes its rows.
create table lockstep_internal.backfill_range (
  id bigint generated always as identity
    constraint backfill_range_pkey primary key,
  run_id bigint not null
    constraint backfill_range_run_id_fkey references lockstep_internal.backfill_run (id) on delete cascade,
  slot integer,
  status text not null default 'open'
    constraint backfill_range_status_check check (status in ('open', 'set_aside')),
  -- The range starts after this key; empty for the first range.
  after_key text[] not null,
  last_key text[] not null,
  sub_batch_size integer not null,
  attempts integer not null default 0,
  scanned bigint not null default 0,
  updated bigint not null default 0,
  unresolved jsonb not null default '{}',
  rows_per_second double precision,
  longest_ms double precision not null default 0,
  held_by text,
  held_cause text,
  sqlstate text,
  error text,
  updated_at timestamptz not null default pg_catalog.clock_timestamp()
) with (fillfactor = 50);
comment on table lockstep_internal.backfill_range is 'ranges of keys that a run works on or has set aside';
create index backfill_range_run_id_idx on lockstep_internal.backfill_range (run_id);

create view lockstep.backfill_progress as
select r.id as run, r.job, r.target_table, r.status,
       case
         when r.status = 'finished' then 100
         else pg_catalog.round(least(99.9, 100.0 * t.scanned / greatest(r.rows_estimated, t.scanned, 1)), 1)
       end as percent,
       t.scanned, t.updated, t.unresolved,
       pg_catalog.round(n.rows_per_second::numeric) as rows_per_second,
       case when n.rows_per_second > 0
         then pg_catalog.make_interval(secs => pg_catalog.round(
                (greatest(r.rows_estimated - t.scanned, 0) / n.rows_per_second)::numeric)::double precision)
       end as remaining,
       w.pids, r.workers as workers_wanted, n.sub_batch_size,
       case
         when r.status <> 'running' then r.held_by
         when w.pids = '{}' and a.are_awaited then 'its workers start'
         when w.pids = '{}' and r.workers > 0 and (
           select pg_catalog.count(*) <> 1 or pg_catalog.bool_or(h.database <> d.oid)
             from lockstep_internal.home h
             left join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
         ) then 'no worker: this database is a copy, where runs do not go on by themselves: call lockstep.resume_backfill'
         -- A launcher of the library whose version this database has, seen by its lock: it is of no database, so that no session can
         -- have it instead. Where there is one, the setting is the server's.
         when w.pids = '{}' and r.workers > 0 and pg_catalog.current_setting('lockstep.resume_backfills', true) = 'on' and exists (
           select from pg_catalog.pg_locks l
             join pg_catalog.pg_extension e on e.extname = 'lockstep'
            where l.locktype = 'advisory' and l.database = 0 and l.objsubid = 19546 and l.objid::bigint = (
              select pg_catalog.sum(p.number::bigint * 1000 ^ (3 - p.place))::bigint
                from pg_catalog.unnest(pg_catalog.string_to_array(pg_catalog.substring(e.extversion, '^[0-9.]+'), '.')) with ordinality as p (number, place))
         ) then 'no worker: the launcher resumes the run, or call lockstep.resume_backfill'
         when w.pids = '{}' and r.workers > 0 then 'no worker: a sidecar or pg_cron resumes the run, or call lockstep.resume_backfill'
         when w.pids = '{}' then 'no worker: call lockstep.resume_backfill'
         else n.held_by
       end as held_by,
       case
         when r.status <> 'running' then null
         when w.pids = '{}' and a.are_awaited then 'starting'
         when w.pids = '{}' then 'no_worker'
         else n.held_cause
       end as held_cause,
       t.set_aside, case when r.held_by is null then coalesce(n.error, r.last_error) else r.last_error end as last_error,
       pg_catalog.round(t.longest_ms::numeric, 1) as longest_ms, c.relowner::regrole as role, r.settings, r.started_at, r.finished_at, r.rows_estimated
  from lockstep_internal.backfill_run r
  left join pg_catalog.pg_class c on c.oid = r.target_table
  cross join lateral (
    select r.scanned + coalesce(pg_catalog.sum(g.scanned), 0)::bigint, r.updated + coalesce(pg_catalog.sum(g.updated), 0)::bigint,
           (select coalesce(pg_catalog.jsonb_object_agg(s.reason, s.rows), '{}')
              from (select u.reason, pg_catalog.sum(u.rows::bigint) as rows
                      from (select r.unresolved union all
                            select o.unresolved from lockstep_internal.backfill_range o where o.run_id = r.id) c (counts)
                      cross join lateral pg_catalog.jsonb_each_text(c.counts) u (reason, rows)
                     group by u.reason) s),
           pg_catalog.count(*) filter (where g.status = 'set_aside'),
           greatest(r.longest_ms, pg_catalog.max(g.longest_ms))
      from lockstep_internal.backfill_range g where g.run_id = r.id
  ) as t (scanned, updated, unresolved, set_aside, longest_ms)
  cross join lateral (
    select pg_catalog.sum(g.rows_per_second) filter (where g.updated_at > pg_catalog.clock_timestamp() - interval '30 seconds'),
           pg_catalog.max(g.sub_batch_size) filter (where g.status = 'open'),
           pg_catalog.string_agg(distinct g.held_by, ', ') filter (where g.status = 'open'),
           pg_catalog.min(g.held_cause) filter (where g.status = 'open'),
           (pg_catalog.array_agg(g.error order by g.updated_at desc) filter (where g.error is not null))[1]
      from lockstep_internal.backfill_range g where g.run_id = r.id
  ) as n (rows_per_second, sub_batch_size, held_by, held_cause, error)
  cross join lateral (
    select coalesce(pg_catalog.array_agg(l.pid order by l.pid), '{}')
      from pg_catalog.pg_locks l
     where l.locktype = 'advisory' and l.objsubid = 19522 and l.mode = 'ExclusiveLock' and l.granted
       and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
       and l.classid::bigint = r.id % 4294967296 and l.objid::bigint <> 4294967295
  ) as w (pids)
  -- A time to come is of a server whose clock was ahead.
  cross join lateral (
    select r.workers_asked_at between pg_catalog.clock_timestamp() - interval '5 seconds' and pg_catalog.clock_timestamp()
  ) as a (are_awaited)
 where pg_catalog.pg_has_role(c.relowner, 'usage') or pg_catalog.pg_has_role('pg_monitor', 'usage')
    or c.oid is null and (pg_catalog.pg_has_role(r.role, 'usage') or pg_catalog.pg_has_role('lockstep_admin', 'usage'));
comment on view lockstep.backfill_progress is
  'runs of backfill jobs: how far, how fast, what holds them, what could not be done; one row per run that the caller may control';
comment on column lockstep.backfill_progress.run is 'number of the run; the functions that control runs take it';
comment on column lockstep.backfill_progress.job is 'the backfill job';
comment on column lockstep.backfill_progress.target_table is 'the table whose rows it writes';
comment on column lockstep.backfill_progress.status is 'running, paused, cancelled, finished or failed';
comment on column lockstep.backfill_progress.percent is 'rows looked at, of those estimated; 100 only when the run has finished';
comment on column lockstep.backfill_progress.scanned is 'rows looked at';
comment on column lockstep.backfill_progress.updated is 'rows written';
comment on column lockstep.backfill_progress.unresolved is 'rows that the job could not resolve, by reason';
comment on column lockstep.backfill_progress.rows_per_second is 'speed over the last 30 seconds, all workers together';
comment on column lockstep.backfill_progress.remaining is 'estimated time to the end at that speed; null while the speed is unknown';
comment on column lockstep.backfill_progress.pids is 'process ids of the sessions that work on the run';
comment on column lockstep.backfill_progress.workers_wanted is 'background workers that the run should have; 0 for a call';
comment on column lockstep.backfill_progress.sub_batch_size is 'rows of the largest current sub-batch';
comment on column lockstep.backfill_progress.held_by is 'why the run does not move at the moment; null while it does';
comment on column lockstep.backfill_progress.held_cause is
  'the same in a word: starting, no_worker, waiters, vacuum, replication, archiving or hold_function; the first by name if several hold it';
comment on column lockstep.backfill_progress.set_aside is 'key ranges that failed and were set aside, see lockstep.backfill_set_aside';
comment on column lockstep.backfill_progress.last_error is 'the last error of the run';
comment on column lockstep.backfill_progress.longest_ms is 'longest sub-batch so far, in milliseconds';
comment on column lockstep.backfill_progress.role is 'owner of the table: the run works with the privileges of this role';
comment on column lockstep.backfill_progress.settings is 'settings of the run';
comment on column lockstep.backfill_progress.started_at is 'when the run was started';
comment on column lockstep.backfill_progress.finished_at is 'when the run ended';
comment on column lockstep.backfill_progress.rows_estimated is 'rows of the table when the run was started, as estimated by the planner';
grant select on lockstep.backfill_progress to public;

-- A procedure cannot pin its search_path and also commit, so every name and operator here is qualified.
create procedure lockstep.backfill(job text, "table" regclass default null, settings jsonb default '{}')
language plpgsql as $$
declare
  run constant bigint := lockstep_internal.open_backfill(job, "table", settings);
  pause integer;
begin
  commit;
  loop
    pause := lockstep_internal.backfill_step(run);
    commit;
    if pause is null then
      exit when lockstep_internal.report_backfill(run);
    elsif pause operator(pg_catalog.>) 0 then
      call lockstep_internal.wait_for_backfill(run, pause);
    end if;
  end loop;
end
$$;
comment on procedure lockstep.backfill(text, regclass, jsonb) is
  'runs a job in this session and commits every sub-batch; resumes a run that is no longer active';

create view lockstep.backfill_set_aside as
select g.run_id as run, r.job, r.target_table, g.after_key, g.last_key, g.sqlstate, g.error, g.attempts, g.updated_at as set_aside_at
  from lockstep_internal.backfill_range g join lockstep_internal.backfill_run r on r.id = g.run_id
  left join pg_catalog.pg_class c on c.oid = r.target_table
 where g.status = 'set_aside'
   and (pg_catalog.pg_has_role(c.relowner, 'usage') or pg_catalog.pg_has_role('pg_monitor', 'usage')
     or c.oid is null and (pg_catalog.pg_has_role(r.role, 'usage') or pg_catalog.pg_has_role('lockstep_admin', 'usage')));
comment on view lockstep.backfill_set_aside is
  'ranges of keys that could not be done, after after_key and up to last_key, with the last error; lockstep.retry_backfill tries them again';
comment on column lockstep.backfill_set_aside.run is 'number of the run';
comment on column lockstep.backfill_set_aside.job is 'the backfill job';
comment on column lockstep.backfill_set_aside.target_table is 'the table whose rows it writes';
comment on column lockstep.backfill_set_aside.after_key is 'the range starts after this key; empty for the start of the table';
comment on column lockstep.backfill_set_aside.last_key is 'the range ends with this key';
comment on column lockstep.backfill_set_aside.sqlstate is 'SQLSTATE of the last error';
comment on column lockstep.backfill_set_aside.error is 'message of the last error';
comment on column lockstep.backfill_set_aside.attempts is 'how often the range was tried';
comment on column lockstep.backfill_set_aside.set_aside_at is 'when it was set aside';
grant select on lockstep.backfill_set_aside to public;
