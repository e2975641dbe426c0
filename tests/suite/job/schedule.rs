//! Recurring jobs: when they are due, and that each time is enqueued once.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use postgres::Client;

use crate::database::cluster;
use crate::job::{claim, queue, runner};
use crate::service_account::number;
use crate::surface::refusal::error_of;

fn times(client: &mut Client, cron: &str, zone: &str, after: &str, most: i32) -> Result<String> {
    let row = client.query_one(
        "select coalesce(string_agg(to_char(t at time zone 'UTC', 'MM-DD HH24:MI'), ', ' order by t), '')
           from lockstep.cron_times($1, $2, $3::text::timestamptz, $4) t",
        &[&cron, &zone, &after, &most],
    )?;
    Ok(row.get(0))
}

#[test]
fn times_are_those_of_the_clock_on_the_wall() -> Result<()> {
    let mut client = queue("schedule_times")?;
    for (cron, zone, after, expected) in [
        (
            "30 2 * * *",
            "UTC",
            "2026-01-01 02:30+00",
            "01-02 02:30, 01-03 02:30, 01-04 02:30",
        ),
        (
            "@hourly",
            "UTC",
            "2026-12-31 22:59:59.9+00",
            "12-31 23:00, 01-01 00:00, 01-01 01:00",
        ),
        (
            "0 9 * * MON-FRI",
            "America/New_York",
            "2026-07-03 12:00+00",
            "07-03 13:00, 07-06 13:00, 07-07 13:00",
        ),
        (
            "*/20 0 29 2 *",
            "UTC",
            "2026-01-01 00:00+00",
            "02-29 00:00, 02-29 00:20, 02-29 00:40",
        ),
        (
            "0 0 1 * 1",
            "UTC",
            "2026-05-30 00:00+00",
            "06-01 00:00, 06-08 00:00, 06-15 00:00",
        ),
        // The clock jumps from 2:00 to 3:00: the nightly job runs then, a frequent one goes on.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28 02:00+00",
            "03-29 01:00, 03-30 00:30, 03-31 00:30",
        ),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29 00:00+00",
            "03-29 00:30, 03-29 01:00, 03-29 01:30",
        ),
        // It goes back from 3:00 to 2:00: the nightly job runs once, a frequent one goes on.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24 12:00+00",
            "10-25 00:30, 10-26 01:30, 10-27 01:30",
        ),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25 00:00+00",
            "10-25 00:30, 10-25 01:00, 10-25 01:30",
        ),
        // Lists and ranges as well: none of their times is lost, and none counts twice.
        (
            "15,45 2 * * *",
            "Europe/Berlin",
            "2026-03-28 22:00+00",
            "03-29 01:00, 03-30 00:15, 03-30 00:45",
        ),
        (
            "30 2,14 * * *",
            "America/New_York",
            "2026-03-07 22:00+00",
            "03-08 07:00, 03-08 18:30, 03-09 06:30",
        ),
        (
            "0 0,12 * * *",
            "Africa/Cairo",
            "2026-04-23 11:00+00",
            "04-23 22:00, 04-24 09:00, 04-24 21:00",
        ),
        (
            "0,30 2 * * SUN",
            "Europe/Berlin",
            "2026-03-27 00:00+00",
            "03-29 01:00, 04-05 00:00, 04-05 00:30",
        ),
        (
            "30 2,14 * * *",
            "Europe/Berlin",
            "2026-10-24 20:00+00",
            "10-25 00:30, 10-25 13:30, 10-26 01:30",
        ),
        (
            "0 1-4 * * *",
            "Europe/Berlin",
            "2026-10-24 22:00+00",
            "10-24 23:00, 10-25 00:00, 10-25 02:00",
        ),
        // Half an hour, which the clock skips on Lord Howe Island.
        (
            "10,40 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03 00:00+00",
            "10-03 15:30, 10-03 15:40, 10-04 15:10",
        ),
        (
            "15 3 * * *",
            "Asia/Kolkata",
            "2026-06-01 00:00+00",
            "06-01 21:45, 06-02 21:45, 06-03 21:45",
        ),
    ] {
        assert_eq!(
            times(&mut client, cron, zone, after, 3)?,
            expected,
            "{cron} {zone} {after}"
        );
    }
    Ok(())
}

#[test]
fn what_is_never_due_or_no_expression_is_refused() -> Result<()> {
    let mut client = queue("schedule_refused")?;
    client.batch_execute("set statement_timeout = '20s'")?;
    let long = "*,".repeat(60_000);
    for cron in [
        "",
        " ",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 32 * *",
        "* * * 13 *",
        "a b c d e",
        "*/0 * * * *",
        "5-1 * * * *",
        "@never",
        "@reboot",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "* * * * * * *",
        "1e9 * * * *",
        "99999999999999999999 * * * *",
        "-1 * * * *",
        "* * * * ß",
        "* * * * \u{130}",
        "'; drop table x; --",
        &long,
    ] {
        for call in [
            "lockstep.cron_times($1, 'UTC')",
            "lockstep.schedule_job('s', $1, 'A')",
        ] {
            let Err(error) = client.execute(&format!("select {call}"), &[&cron]) else {
                anyhow::bail!("{cron} is taken by {call}");
            };
            let error = error.as_db_error().ok_or_else(|| anyhow!("{error}"))?;
            assert_eq!(error.code().code(), "22023", "{cron}: {error}");
            ensure!(
                error.hint().is_some() && error.message().len() < 300,
                "{error:?}"
            );
        }
    }
    for (arguments, code) in [
        ("'s', '@daily', 'A', time_zone => 'Mars/Olympus'", "22023"),
        ("'s', '@daily', 'A', time_zone => ''", "22023"),
        ("'s', '@daily', 'A', missed => 'twice'", "22023"),
        ("'', '@daily', 'A'", "42602"),
        ("repeat('x', 101), '@daily', 'A'", "42602"),
        ("'s', '@daily', ''", "42602"),
        ("'s', '@daily', 'A', null", "22004"),
        ("'s', null, 'A'", "22004"),
    ] {
        let error = error_of(
            &mut client,
            &format!("select lockstep.schedule_job({arguments})"),
        )?;
        assert_eq!(error.code().code(), code, "{arguments}: {error}");
    }
    for most in [0, 1_001] {
        let error = error_of(
            &mut client,
            &format!("select lockstep.cron_times('@daily', most => {most})"),
        )?;
        assert_eq!(error.code().code(), "22023", "{error}");
    }
    for after in ["infinity", "-infinity", "294276-12-31", "4713-01-01 BC"] {
        let given =
            format!("select count(*) from lockstep.cron_times('@daily', \"after\" => '{after}')");
        if let Err(error) = client.batch_execute(&given) {
            assert_eq!(
                error.code().map(|it| it.code()),
                Some("22023"),
                "{after}: {error}"
            );
        }
    }
    let error = error_of(&mut client, "select lockstep.unschedule_job('s')")?;
    assert_eq!(error.code().code(), "42704", "{error}");
    Ok(())
}

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
