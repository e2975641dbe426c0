//! Recurring jobs: each time that is due is enqueued once.

use std::thread;

use anyhow::{Result, anyhow};
use postgres::Client;

use crate::database::cluster;
use crate::job::{claim, queue, runner};
use crate::service_account::number;

/// Lets the schedule's time come.
fn due(client: &mut Client, since: &str) -> Result<()> {
    client.batch_execute(&format!(
        "update lockstep_internal.job_schedule set next_at = date_trunc('minute', clock_timestamp()) - interval '{since}'"
    ))?;
    Ok(())
}

fn state(client: &mut Client) -> Result<String> {
    let row = client.query_one(
        "select concat_ws(' ', (select count(*) from lockstep_internal.job where status <> 'running'), next_at > clock_timestamp(), last_at is null)
           from lockstep.job_schedules",
        &[],
    )?;
    Ok(row.get(0))
}

#[test]
fn a_due_job_is_enqueued_and_claimed() -> Result<()> {
    let mut client = queue("schedule_due")?;
    client.batch_execute("select lockstep.schedule_job('s', '*/5 * * * *', 'A', '[1]', 'Europe/Berlin', priority => 3)")?;
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 9)?, [0_i64; 0]);
    assert_eq!(state(&mut client)?, "0 t t");
    due(&mut client, "0")?;
    assert_eq!(claim(&mut client, runner, 9)?, [1]);
    assert_eq!(state(&mut client)?, "0 t f");
    let job = "select count(*) from lockstep_internal.job j, lockstep.job_schedules s
                where j.args = '[1]' and j.priority = 3 and j.run_at = s.last_at";
    assert_eq!(number(&mut client, job)?, 1);
    assert_eq!(claim(&mut client, runner, 9)?, [0_i64; 0]);
    // The last one still runs, which does not keep the next one back; one that waits does.
    due(&mut client, "0")?;
    client.batch_execute("select count(*) from lockstep.claim_jobs(1, '{B}', 1)")?;
    assert_eq!(state(&mut client)?, "1 t f");
    due(&mut client, "0")?;
    client.batch_execute("select count(*) from lockstep.claim_jobs(1, '{B}', 1)")?;
    assert_eq!(state(&mut client)?, "1 t f");
    client.batch_execute("select lockstep.unschedule_job('s')")?;
    assert_eq!(
        number(&mut client, "select count(*) from lockstep.job_schedules")?,
        0
    );
    assert_eq!(claim(&mut client, runner, 9)?, [2]);
    Ok(())
}

#[test]
fn missed_times_are_made_up_for_once_or_skipped() -> Result<()> {
    let mut client = queue("schedule_missed")?;
    let runner = runner(&mut client)?;
    for (missed, since, jobs) in [
        ("run_once", "3 hours", 1),
        ("skip", "3 hours", 0),
        // In time.
        ("skip", "0", 1),
    ] {
        client.batch_execute(&format!(
            "delete from lockstep_internal.job; select lockstep.schedule_job('s', '*/5 * * * *', 'A', missed => '{missed}')"
        ))?;
        due(&mut client, since)?;
        client.batch_execute("update lockstep_internal.job_schedule set last_at = null")?;
        // Not even a minute late, however slow this machine is.
        if since == "0" {
            client.batch_execute(
                "update lockstep_internal.job_schedule set next_at = clock_timestamp()",
            )?;
        }
        assert_eq!(
            claim(&mut client, runner, 9)?.len(),
            jobs,
            "{missed} {since}"
        );
        assert_eq!(
            state(&mut client)?,
            format!("0 t {}", if jobs == 0 { "t" } else { "f" }),
            "{missed} {since}"
        );
    }
    Ok(())
}

/// A deployment that sets all schedules again does not skip one that is due.
#[test]
fn a_schedule_that_is_set_again_keeps_its_time() -> Result<()> {
    let mut client = queue("schedule_again")?;
    let set = |cron: &str| format!("select lockstep.schedule_job('s', '{cron}', 'A', '[2]')");
    client.batch_execute(&set("@daily"))?;
    due(&mut client, "1 hour")?;
    client.batch_execute(&set("@daily"))?;
    assert_eq!(state(&mut client)?, "0 f t");
    client.batch_execute(&set("@weekly"))?;
    assert_eq!(state(&mut client)?, "0 t t");
    Ok(())
}

/// What was scheduled while a clock was ahead is due when the clock that is right says so.
#[test]
fn a_clock_that_was_ahead_delays_no_schedule() -> Result<()> {
    let mut client = queue("schedule_ahead")?;
    let set = "select lockstep.schedule_job('s', '*/5 * * * *', 'A')";
    let ahead = "update lockstep_internal.job_schedule set next_at = date_trunc('hour', now()) + interval '30 days'";
    let is_soon =
        "select (next_at < now() + interval '6 minutes')::int::bigint from lockstep.job_schedules";
    for heal in [set, "select lockstep.sweep()"] {
        client.batch_execute(set)?;
        client.batch_execute(ahead)?;
        client.batch_execute(heal)?;
        assert_eq!(number(&mut client, is_soon)?, 1, "{heal}");
    }
    // A time that is far away by itself stays.
    client.batch_execute("select lockstep.schedule_job('s', '0 0 29 2 *', 'A')")?;
    let at = "select extract(epoch from next_at)::bigint from lockstep.job_schedules";
    let before = number(&mut client, at)?;
    client.batch_execute("select lockstep.sweep()")?;
    assert_eq!(number(&mut client, at)?, before);
    Ok(())
}

/// Eight runners look at the same time, again and again. The jobs start at once, which frees their keys: nothing but the lock of
/// the schedule keeps a second one out.
#[test]
fn each_time_is_enqueued_once_over_all_runners() -> Result<()> {
    let name = "schedule_once";
    let mut client = queue(name)?;
    client.batch_execute(
        "select lockstep.schedule_job('s' || n, '@daily', 'A') from generate_series(1, 20) n;
         create table enqueued (job bigint);
         create function note() returns trigger language plpgsql as $$ begin insert into public.enqueued values (new.id); return null; end $$;
         grant all on enqueued to public;
         create trigger note after insert on lockstep_internal.job for each row execute function note()",
    )?;
    for round in 1..=10 {
        client.batch_execute("delete from lockstep_internal.job")?;
        due(&mut client, "1 hour")?;
        thread::scope(|scope| -> Result<()> {
            let runners: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        let mut session = cluster()?.connect(name)?;
                        let runner = runner(&mut session)?;
                        claim(&mut session, runner, 20)?;
                        Ok(())
                    })
                })
                .collect();
            for runner in runners {
                runner.join().map_err(|_| anyhow!("a session panicked"))??;
            }
            Ok(())
        })?;
        assert_eq!(
            number(&mut client, "select count(*) from enqueued")?,
            20 * round
        );
        assert_eq!(
            number(
                &mut client,
                "select count(*) from lockstep.job_schedules where next_at < clock_timestamp()"
            )?,
            0
        );
    }
    Ok(())
}

/// What was valid once and is no longer stops alone, and says so; a schedule in a claim that is rolled back stays due.
#[test]
fn a_broken_schedule_keeps_nobody_from_claiming() -> Result<()> {
    let mut client = queue("schedule_broken")?;
    client.batch_execute(
        "select lockstep.schedule_job('s', '@daily', 'A'); update lockstep_internal.job_schedule set time_zone = 'Mars/Olympus';
         select lockstep.enqueue_job('B')",
    )?;
    due(&mut client, "1 hour")?;
    let runner = runner(&mut client)?;
    client.batch_execute("begin")?;
    assert_eq!(claim(&mut client, runner, 9)?, [2, 1]);
    client.batch_execute("rollback")?;
    assert_eq!(state(&mut client)?, "1 f t");
    assert_eq!(claim(&mut client, runner, 9)?.len(), 2);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep.job_schedules where next_at = 'infinity'"
        )?,
        1
    );
    client
        .batch_execute(
            "select lockstep.schedule_job('s', '@daily', 'A', time_zone => 'Mars/Olympus')",
        )
        .err();
    client.batch_execute("select lockstep.schedule_job('s', '@daily', 'A')")?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep.job_schedules where isfinite(next_at)"
        )?,
        1
    );
    Ok(())
}

/// Whatever a schedule's job runs into, other jobs are claimed; it is tried again once that is over.
#[test]
fn a_schedule_that_cannot_enqueue_keeps_nobody_from_claiming() -> Result<()> {
    let name = "schedule_stuck";
    let mut client = queue(name)?;
    client.batch_execute(
        "create schema flags; select * from lockstep.attach('flags', features => '{feature_flags}');
         select lockstep.rename_worker('Report', 'Reports::Nightly', 'rename_report', 'flags');
         select lockstep.schedule_job('s', '* * * * *', 'Report')",
    )?;
    let runner = runner(&mut client)?;
    let mut locker = cluster()?.connect(name)?;
    for (breaks, mends) in [
        (
            "alter table flags.feature_gates rename key to gone",
            "alter table flags.feature_gates rename gone to key",
        ),
        (
            "alter schema flags rename to gone",
            "alter schema gone rename to flags",
        ),
        ("begin; lock table flags.feature_gates", "rollback"),
    ] {
        locker.batch_execute(breaks)?;
        due(&mut client, "10 seconds")?;
        let job: i64 = client
            .query_one("select lockstep.enqueue_job('B')", &[])?
            .get(0);
        client.batch_execute("set statement_timeout = '30s'")?;
        assert_eq!(claim(&mut client, runner, 9)?, [job], "{breaks}");
        assert_eq!(state(&mut client)?, "0 t t", "{breaks}");
        locker.batch_execute(mends)?;
    }
    due(&mut client, "10 seconds")?;
    let count = "select count(*) from lockstep.claim_jobs(1, '{Report,Reports::Nightly}', 9)";
    assert_eq!(number(&mut client, count)?, 1);
    assert_eq!(state(&mut client)?, "0 t f");
    Ok(())
}
