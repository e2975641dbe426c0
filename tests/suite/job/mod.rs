//! The queue for its callers: order, wake-ups, leases, retries, rights.

mod after;
mod cron;
mod lease;
mod level;
mod limit;
mod limit_change;
mod limit_key;
mod limit_random;
mod many;
mod network;
mod pages;
mod rename;
mod schedule;
mod unique;
mod wake;

pub(crate) use network::noise;
pub(crate) use pages::{fewest_pages, pages};

use anyhow::{Result, ensure};
use postgres::Client;

use crate::database;
use crate::service_account::number;
use crate::surface::refusal::error_of;

/// Time zones whose clocks change at odd times or by odd amounts, or whose rules have changed lately.
pub(crate) const ZONES: [&str; 8] = [
    "Africa/Cairo",
    "America/Havana",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Africa/Casablanca",
    "America/New_York",
    "Pacific/Chatham",
];

pub(crate) fn queue(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    Ok(client)
}

pub(crate) fn runner(client: &mut Client) -> Result<i64> {
    number(client, "select lockstep.start_runner('test', '1 hour')")
}

/// Claims jobs of workers A and B; returns their numbers in order.
fn claim(client: &mut Client, runner: i64, most: i32) -> Result<Vec<i64>> {
    let rows = client.query(
        "select job from lockstep.claim_jobs($1, '{A, B}', $2)",
        &[&runner, &most],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Makes a runner's lease expire.
fn lapse(client: &mut Client, runner: i64) -> Result<()> {
    client.execute(
        "update lockstep_internal.job_runner set leased_until = clock_timestamp() - interval '1 second' where id = $1",
        &[&runner],
    )?;
    Ok(())
}

#[test]
fn order_is_by_priority_then_time_over_all_workers() -> Result<()> {
    let mut client = queue("job_order")?;
    // Each worker's own order is random, so that claims of a few at a time have to alternate between them.
    let seed: f64 = f64::from(std::process::id() % 1_000) / 1_000.0;
    println!("seed {seed}");
    client.batch_execute(&format!(
        "select setseed({seed});
         select lockstep.enqueue_job(case when random() < 0.5 then 'A' else 'B' end,
                                     priority => floor(random() * 5)::integer)
           from generate_series(1, 500);
         update lockstep_internal.job set run_at = now() - random() * interval '1 hour'"
    ))?;
    let expected: Vec<i64> = client
        .query(
            "select id from lockstep_internal.job order by priority, run_at, id",
            &[],
        )?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let runner = runner(&mut client)?;
    let mut claimed = Vec::new();
    for most in [1, 2, 7, 40, 450] {
        claimed.extend(claim(&mut client, runner, most)?);
    }
    assert_eq!(claimed, expected);
    Ok(())
}

/// Otherwise it would overtake the others, and its age would alarm.
#[test]
fn a_job_is_not_late_before_it_exists() -> Result<()> {
    let mut client = queue("job_past")?;
    let first = number(&mut client, "select lockstep.enqueue_job('A')")?;
    let past = "select lockstep.enqueue_job('A', run_at => now() - interval '10 years')";
    let second = number(&mut client, past)?;
    let key = "select lockstep.enqueue_job('A', unique_key => 'k', run_at => '2000-01-01', deduplicate => 'replace')";
    let third = number(&mut client, key)?;
    assert_eq!(number(&mut client, key)?, third);
    let late =
        "select count(*) from lockstep_internal.job where run_at < now() - interval '1 hour'";
    assert_eq!(number(&mut client, late)?, 0);
    for time in ["infinity", "-infinity"] {
        let infinite = format!("select lockstep.enqueue_job('A', run_at => '{time}')");
        let error = error_of(&mut client, &infinite)?;
        assert_eq!(error.code().code(), "22008", "{time}");
    }
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 9)?, [first, second, third]);
    Ok(())
}

#[test]
fn a_job_for_later_waits_for_its_time() -> Result<()> {
    let mut client = queue("job_later")?;
    client.batch_execute(
        "select lockstep.enqueue_job('A', run_at => now() + interval '1 hour', priority => -1);
         select lockstep.enqueue_job('A')",
    )?;
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 10)?, [2]);
    client.batch_execute(
        "update lockstep_internal.job set run_at = now() - interval '1 minute' where id = 1",
    )?;
    assert_eq!(claim(&mut client, runner, 10)?, [1]);
    Ok(())
}

#[test]
fn completion_is_part_of_the_transaction_that_did_the_job() -> Result<()> {
    let mut client = queue("job_transaction")?;
    client.batch_execute("create table done (job bigint); select lockstep.enqueue_job('A')")?;
    let first = runner(&mut client)?;
    let second = runner(&mut client)?;
    assert_eq!(claim(&mut client, first, 1)?, [1]);
    lapse(&mut client, first)?;
    assert_eq!(claim(&mut client, second, 1)?, [1]);
    let work = |runner: i64| {
        format!(
            "begin; insert into done values (1); select lockstep.complete_job({runner}, 1); commit"
        )
    };
    assert!(client.batch_execute(&work(first)).is_err());
    client.batch_execute("rollback")?;
    client.batch_execute(&work(second))?;
    assert_eq!(number(&mut client, "select count(*) from done")?, 1);
    Ok(())
}

#[test]
fn intervals_between_tries_grow_as_sidekiqs() -> Result<()> {
    let mut client = queue("job_intervals")?;
    let runner = runner(&mut client)?;
    client.batch_execute("select lockstep.enqueue_job('A') from generate_series(1, 200)")?;
    for failures in 0..25_i64 {
        assert_eq!(claim(&mut client, runner, 1_000)?.len(), 200);
        let outcomes = client.query_one(
            "select min(lockstep.fail_job($1, id, 'no')) from (select id from lockstep_internal.job offset 0) j",
            &[&runner],
        )?;
        assert_eq!(outcomes.get::<_, &str>(0), "scheduled");
        let least = failures.pow(4) + 15;
        let most = least + 9 * (failures + 1);
        let row = client.query_one(
            "select min(s)::float8, max(s)::float8, count(distinct round(s / $1::bigint))
               from (select extract(epoch from run_at - clock_timestamp()) from lockstep_internal.job) j (s)",
            &[&(failures + 1)],
        )?;
        let (nearest, farthest): (f64, f64) = (row.get(0), row.get(1));
        // Up to a minute has passed since.
        ensure!(
            nearest > least as f64 - 60.0 && farthest <= most as f64,
            "after {failures} failures: {nearest} to {farthest}, not {least} to {most}"
        );
        ensure!(row.get::<_, i64>(2) > 5, "they are not spread");
        client.batch_execute("update lockstep_internal.job set run_at = now()")?;
    }
    assert_eq!(claim(&mut client, runner, 1_000)?.len(), 200);
    let row = client.query_one("select lockstep.fail_job($1, 1, 'no')", &[&runner])?;
    assert_eq!(row.get::<_, &str>(0), "dead");
    Ok(())
}

/// Refused by PostgreSQL itself.
pub(crate) fn denied(client: &mut Client, statement: &str) -> Result<()> {
    let error = error_of(client, statement)?;
    ensure!(
        error.code().code() == "42501" && error.message().starts_with("permission denied"),
        "{statement}: {error}"
    );
    Ok(())
}

#[test]
fn nobody_may_use_the_queue_without_being_allowed_to() -> Result<()> {
    let name = "job_rights";
    let mut client = queue(name)?;
    client.batch_execute(&format!(
        "create extension lockstep_slack; create role {name}_other; grant create on database {name} to {name}_other; select lockstep.enqueue_job('A'); set role {name}_other"
    ))?;
    for call in [
        "enqueue_job('A')",
        "start_runner('a')",
        "runner_heartbeat(1)",
        "stop_runner(1)",
        "claim_jobs(1, '{A}')",
        "complete_job(1, 1)",
        "complete_jobs(1, '{1}')",
        "release_jobs(1, '{1}')",
        "release_other_jobs(1, '{1}')",
        "fail_job(1, 1, 'e')",
        "retry_job(1)",
        "retry_dead_jobs()",
        "discard_job(1)",
        "cancel_job(1)",
        "schedule_job('s', '@daily', 'A')",
        "unschedule_job('s')",
        "cron_times('@daily')",
        "limit_worker('A', 1)",
        "define_worker('A', 1)",
        "rename_worker('A', 'B', 'f')",
        "remove_worker_rename('A')",
        "retire_worker('A')",
        "record_integration_event(1, '{}')",
        "set_cluster_integration(1, 'prometheus', true)",
    ] {
        denied(&mut client, &format!("select lockstep.{call}"))?;
    }
    for relation in [
        "lockstep_internal.job",
        "lockstep_internal.job_runner",
        "lockstep_internal.worker",
        "lockstep_internal.host_worker",
        "lockstep_internal.worker_rename",
        "lockstep_internal.retired_worker",
        "lockstep_internal.worker_limit",
        "lockstep_internal.worker_limit_use",
        "lockstep.worker_limits",
        "lockstep_internal.job_schedule",
        "lockstep.job_schedules",
        "lockstep.dead_jobs",
        "lockstep.worker_status",
        "lockstep_internal.integration_event",
    ] {
        denied(&mut client, &format!("select from {relation}"))?;
    }
    // Enqueueing needs no right on the tables, and does not run the caller's own operators.
    client.batch_execute(&format!(
        "reset role;
         grant execute on function lockstep.enqueue_job(text, jsonb, text, timestamptz, integer, text, text) to {name}_other;
         set role {name}_other;
         create schema trap;
         create function trap.equal(text, text) returns boolean language plpgsql as $$ begin raise 'trapped'; end $$;
         create operator trap.= (leftarg = text, rightarg = text, function = trap.equal);
         create function trap.coalesce(integer) returns integer language plpgsql as $$ begin raise 'trapped'; end $$;
         create function trap.clock_timestamp() returns timestamptz language plpgsql as $$ begin raise 'trapped'; end $$;
         set search_path = trap, pg_catalog;
         select lockstep.enqueue_job('A', unique_key => 'k');
         select lockstep.enqueue_job('ProjectServiceWorker', unique_key => 'k');
         reset role; reset search_path"
    ))?;
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        3
    );
    Ok(())
}
