//! 20,000 jobs while runners are killed, a rename's flag is flipped and the server restarts: every job is done, and twice only if
//! its runner was killed or disconnected between doing and completing it.

use std::collections::BTreeSet;
use std::io::{Write, stderr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::random::plan::Dice;
use crate::random::seed;
use crate::service_account::number;
use crate::sidecar::work::Sidecar;

const DATABASE: &str = "work_crash";
const JOBS: i64 = 20_000;
const RUNNERS: usize = 4;

/// Each round enqueues some jobs, kills a runner and flips the flag.
const ROUNDS: i64 = 20;

/// Triggers log everything: each execution of a job (even if its event is already recorded), each failure, each job of a lost
/// runner, and the name under which each job was enqueued.
const LOG: &str = "
create table done (job bigint);
create function log_done() returns trigger language plpgsql security definer as $$ begin insert into public.done values (new.job); return new; end $$;
create trigger log_done before insert on lockstep_internal.integration_event for each row execute function log_done();
create table failed (job bigint, error text);
create function log_failed() returns trigger language plpgsql security definer as $$ begin insert into public.failed values (new.id, new.last_error); return new; end $$;
create trigger log_failed after update on lockstep_internal.job for each row when (new.failures > old.failures) execute function log_failed();
create table lost (job bigint, runner integer);
create function log_lost() returns trigger language plpgsql security definer as $$
begin insert into public.lost values (new.id, substring(new.last_error from 'runner ([0-9]+) ended')::integer); return new; end $$;
create trigger log_lost after update on lockstep_internal.job for each row when (new.losses > old.losses) execute function log_lost();
create table enqueued (worker text);
create function log_enqueued() returns trigger language plpgsql security definer as $$ begin insert into public.enqueued values (new.worker); return new; end $$;
create trigger log_enqueued after insert on lockstep_internal.job for each row execute function log_enqueued()";

fn connect(cluster: &Cluster) -> Result<Client> {
    let begun = Instant::now();
    loop {
        match cluster.connect(DATABASE) {
            Ok(client) => return Ok(client),
            Err(error) if begun.elapsed() > PATIENCE => bail!("no server: {error:#}"),
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
}

fn runner(cluster: &Cluster, number: usize) -> Result<Sidecar> {
    let name = format!("runner {number}");
    let arguments = ["--name", &name, "--lease", "2", "--concurrency", "5"];
    let mut sidecar = Sidecar::start(&cluster.address(DATABASE), &arguments)?;
    // Nobody reads its log, which must not block it.
    drop(sidecar.0.stderr.take());
    Ok(sidecar)
}

fn jobs(client: &mut Client, query: &str) -> Result<BTreeSet<i64>> {
    let rows = client.query(query, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[test]
fn no_job_is_lost() -> Result<()> {
    let seed = seed()?;
    writeln!(stderr(), "sidecar_work_crash: LOCKSTEP_SEED={seed}")?;
    let mut dice = Dice::new(seed, 0);
    let mut cluster = Cluster::start("work_crash", &[])?;
    let mut client = cluster.create_database(DATABASE)?;
    host::create(&mut client, Layout::Narrow)?;
    client.batch_execute("create extension lockstep_slack cascade; select * from lockstep.attach(); select * from lockstep.attach_slack()")?;
    client.batch_execute(LOG)?;
    client.batch_execute(
        "insert into projects (id, namespace_id) values (1, 1);
         insert into integrations (id, project_id, type_new, active) values (1, 1, 'Integrations::Slack', true)",
    )?;
    let mut runners = (0..RUNNERS)
        .map(|number| Ok((number, runner(&cluster, number)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut killed = BTreeSet::new();
    for (started, round) in (RUNNERS..).zip(0..ROUNDS) {
        // In the transaction that enqueues, half of which are rolled back.
        let some = format!(
            "select count(lockstep.enqueue_job('ProjectServiceWorker', '[1, {{\"object_kind\": \"push\"}}]'))
               from generate_series(1, {}) n",
            JOBS / ROUNDS
        );
        client.batch_execute(&format!("begin; {some}; rollback; begin; {some}; commit"))?;
        client.execute(
            "select lockstep.set_feature('rename_integrations_workers', $1)",
            &[&(round % 2 == 0)],
        )?;
        sleep(Duration::from_micros(dice.below(400_000)));
        let victim = dice.below(RUNNERS as u64) as usize;
        let (number, mut sidecar) = runners.swap_remove(victim);
        sidecar.0.kill()?;
        sidecar.0.wait()?;
        killed.insert(number);
        runners.push((started, runner(&cluster, started)?));
        if round == ROUNDS / 2 {
            drop(client);
            cluster.restart()?;
            client = connect(&cluster)?;
        }
    }
    let begun = Instant::now();
    while number(&mut client, "select count(*) from lockstep_internal.job")? > 0 {
        // A job that failed with its connection would be retried after a quarter of a minute.
        client.batch_execute(
            "update lockstep_internal.job set run_at = now() where status = 'scheduled'",
        )?;
        if begun.elapsed() > PATIENCE {
            let left = "select string_agg(j::text || coalesce(r::text, ''), e'\\n')
                          from lockstep_internal.job j left join lockstep_internal.job_runner r on r.id = j.runner";
            let left: String = client.query_one(left, &[])?.get(0);
            bail!("jobs are left: {left}");
        }
        sleep(Duration::from_millis(100));
    }
    drop(runners);
    assert_eq!(number(&mut client, "select count(*) from enqueued")?, JOBS);
    assert_eq!(
        number(&mut client, "select count(distinct worker) from enqueued")?,
        2
    );
    assert_eq!(
        number(&mut client, "select count(distinct job) from done")?,
        JOBS
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.integration_event"
        )?,
        JOBS
    );
    let twice = jobs(
        &mut client,
        "select job from done group by job having count(*) > 1",
    )?;
    let failed = jobs(&mut client, "select job from failed")?;
    let lost = jobs(&mut client, "select job from lost")?;
    // Only killed runners were declared lost.
    let of_whom: BTreeSet<usize> = client
        .query("select distinct runner from lost", &[])?
        .iter()
        .filter_map(|row| usize::try_from(row.get::<_, i32>(0)).ok())
        .collect();
    ensure!(
        of_whom.is_subset(&killed),
        "{of_whom:?} but killed were {killed:?}"
    );
    writeln!(
        stderr(),
        "sidecar_work_crash: {} of {JOBS} jobs were done twice; killed runners had {}, and {} failed with their connection",
        twice.len(),
        lost.len(),
        failed.len()
    )?;
    let unexplained: Vec<_> = twice
        .iter()
        .filter(|job| !lost.contains(job) && !failed.contains(job))
        .collect();
    ensure!(
        unexplained.is_empty(),
        "done twice without a reason: {unexplained:?}"
    );
    let other_errors = "select count(*) from failed where error not like '%connect%' and error not like '%terminat%'
                          and error not like '%shut%down%' and error not like '%starting up%' and error not like '%session%'";
    assert_eq!(number(&mut client, other_errors)?, 0);
    Ok(())
}
