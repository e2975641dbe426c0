-- The queue: what its functions return and refuse.
\pset null null
begin;
select set_config('lockstep_test.first', lockstep.enqueue_job('Mailer', '{"to": "all"}')::text, true)::bigint > 0 as enqueued;
create temp table first as select current_setting('lockstep_test.first')::bigint as id;
create function pg_temp.show() returns table (job bigint, worker text, key text, priority integer, status text, failures integer)
language sql as $$
  select id - (select id from pg_temp.first), worker, unique_key, priority, status, failures from lockstep_internal.job order by id
$$;

-- enqueue: a key is unique per worker while its job waits
select lockstep.enqueue_job('Mailer', unique_key => 'k') - id as job from first;
select lockstep.enqueue_job('Mailer', unique_key => 'k') - id as job from first;
select lockstep.enqueue_job('Other', unique_key => 'k') - id as job from first;
select lockstep.enqueue_job('Mailer', '[1, "two"]', priority => -1) - id as job from first;
select lockstep.enqueue_job('Mailer', run_at => now() + interval '1 hour') - id as job from first;
select * from pg_temp.show();
select lockstep.start_runner('test') > 0 as started;
create temp table runner as select max(id) as id from lockstep_internal.job_runner;

-- claim: by priority, then age; only the named workers
select job - f.id as job, worker, args, attempt from runner r, first f, lockstep.claim_jobs(r.id, '{Mailer}', 2);
select job - f.id as job, worker, args, attempt from runner r, first f, lockstep.claim_jobs(r.id, '{Mailer, Mailer, null}', 100);
select count(*) from runner r, lockstep.claim_jobs(r.id, '{}', 100);
select count(*) from runner r, lockstep.claim_jobs(r.id, '{Nobody}', 100);
select * from pg_temp.show();

-- a running job has given up its key
select lockstep.cancel_job(lockstep.enqueue_job('Mailer', unique_key => 'k'));

-- complete, fail, release
select lockstep.complete_jobs(r.id, array[f.id, f.id + 2]) = array[f.id + 2] as refused_what_it_had_not from runner r, first f;
select lockstep.release_jobs(r.id, array[f.id + 3, f.id + 4]) = array[f.id + 3] as refused_what_it_had_not from runner r, first f;
select lockstep.fail_job(r.id, f.id + 1, 'no such host') from runner r, first f;
select * from pg_temp.show();
select run_at between now() + interval '15 seconds' and now() + interval '30 seconds' as is_soon, last_error
  from lockstep_internal.job where failures = 1;

-- a worker's retry rules: retried once, then kept, or not
select lockstep.define_worker('Mailer', 1);
select lockstep.define_worker('Forgotten', 0, false);
select lockstep.enqueue_job('Mailer', unique_key => 'once') > 0 as enqueued;
select lockstep.enqueue_job('Forgotten') > 0 as enqueued;
select lockstep.fail_job(r.id, c.job, 'first', '0') from runner r, lockstep.claim_jobs(r.id, '{Forgotten}', 1) c;
select c.attempt, lockstep.fail_job(r.id, c.job, 'first', '0') from runner r, lockstep.claim_jobs(r.id, '{Mailer}', 10) c
 where c.job = (select max(id) from lockstep_internal.job where unique_key = 'once');
select c.attempt, lockstep.fail_job(r.id, c.job, 'second') from runner r, lockstep.claim_jobs(r.id, '{Mailer}', 10) c
 where c.job = (select max(id) from lockstep_internal.job where unique_key = 'once');
select worker, unique_key, failures, losses, last_error from lockstep.dead_jobs;
-- the key of a dead job is free
select lockstep.enqueue_job('Mailer', unique_key => 'once') <> (select job from lockstep.dead_jobs) as is_another;
select lockstep.retry_dead_jobs() as kept_dead_for_its_key;
savepoint before;
select lockstep.retry_job(job) from lockstep.dead_jobs;
rollback to before;
select lockstep.discard_job(max(id)) from lockstep_internal.job where unique_key = 'once' and status = 'waiting';
select lockstep.retry_dead_jobs('Other');
select lockstep.retry_dead_jobs('Mailer');
select worker, enqueued, scheduled, running, dead, drained from lockstep.worker_status
 where worker in ('Mailer', 'Other', 'Forgotten') order by worker;
select lockstep.stop_runner(id) as given_back from runner;
select lockstep.stop_runner(id) as given_back from runner;
rollback;
select count(*) from lockstep_internal.job;

-- refusals
select lockstep.enqueue_job('');
\echo :SQLSTATE
select lockstep.enqueue_job(null);
\echo :SQLSTATE
select lockstep.enqueue_job(repeat('x', 256));
\echo :SQLSTATE
select lockstep.enqueue_job('Mailer', null);
\echo :SQLSTATE
select lockstep.enqueue_job('Mailer', unique_key => '');
\echo :SQLSTATE
select lockstep.enqueue_job('Mailer', unique_key => 'k', deduplicate => 'always');
\echo :SQLSTATE
select lockstep.cancel_job(0);
\echo :SQLSTATE
select lockstep.schedule_job('nightly', '30 2 * *', 'Mailer');
\echo :SQLSTATE
select lockstep.schedule_job('nightly', '30 2 30 2 *', 'Mailer');
\echo :SQLSTATE
select lockstep.schedule_job('nightly', '30 2 * * *', 'Mailer', time_zone => 'Mars/Olympus');
\echo :SQLSTATE
select lockstep.schedule_job('nightly', '30 2 * * *', 'Mailer', missed => 'twice');
\echo :SQLSTATE
select lockstep.unschedule_job('nightly');
\echo :SQLSTATE
select lockstep.limit_worker('Mailer', 0);
\echo :SQLSTATE
select lockstep.define_worker('Mailer', -1);
\echo :SQLSTATE
select lockstep.define_worker('Mailer', 101);
\echo :SQLSTATE
select lockstep.start_runner('test', '0.5 seconds');
\echo :SQLSTATE
select lockstep.start_runner('test', '2 days');
\echo :SQLSTATE
select lockstep.start_runner('test', '1 month');
\echo :SQLSTATE
select lockstep.runner_heartbeat(0);
\echo :SQLSTATE
select lockstep.claim_jobs(0, '{Mailer}');
\echo :SQLSTATE
select lockstep.claim_jobs(0, '{Mailer}', 0);
\echo :SQLSTATE
select lockstep.claim_jobs(0, '{Mailer}', 10001);
\echo :SQLSTATE
select lockstep.complete_job(0, 1);
\echo :SQLSTATE
select lockstep.complete_jobs(0, '{1,2}');
select lockstep.fail_job(0, 1, 'error');
\echo :SQLSTATE
select lockstep.fail_job(0, 1, 'error', '-1 second');
\echo :SQLSTATE
select lockstep.retry_job(0);
\echo :SQLSTATE
select lockstep.discard_job(0);
\echo :SQLSTATE
select lockstep.rename_worker('A', 'A', 'flag');
\echo :SQLSTATE
select lockstep.rename_worker('A', 'B', '');
\echo :SQLSTATE
select lockstep.rename_worker('ProjectServiceWorker', 'B', 'flag');
\echo :SQLSTATE
select lockstep.rename_worker('A', 'Integrations::ExecuteWorker', 'flag');
\echo :SQLSTATE
select lockstep.rename_worker('Integrations::ExecuteWorker', 'ProjectServiceWorker', 'flag');
\echo :SQLSTATE
select lockstep.retire_worker('Mailer');
\echo :SQLSTATE
select lockstep.retire_worker('ProjectServiceWorker');
\echo :SQLSTATE
select lockstep.remove_worker_rename('ProjectServiceWorker');
\echo :SQLSTATE
select lockstep.remove_worker_rename('Mailer');
\echo :SQLSTATE
