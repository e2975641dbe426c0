//! When cron expressions are due.

use anyhow::{Result, anyhow, ensure};
use postgres::Client;

use crate::job::{ZONES, queue};
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

/// Where PostgreSQL has the system's time zones, its clocks show the times: at noon, and at night, when they are changed.
#[test]
fn clocks_are_those_of_the_server() -> Result<()> {
    let mut client = queue("schedule_clocks")?;
    let has_systems = "select setting ~ 'with-system-tzdata=/usr/share/zoneinfo' from pg_config where name = 'CONFIGURE'";
    if !client.query_one(has_systems, &[])?.get::<_, bool>(0) {
        return Ok(());
    }
    for zone in ZONES {
        for (cron, times, after) in [
            ("0 12 * * *", "12:00", "2025-01-01"),
            (
                "30 0-4 * * *",
                "00:30 01:30 02:30 03:30 04:30",
                "2026-02-01",
            ),
            (
                "30 0-4 * * *",
                "00:30 01:30 02:30 03:30 04:30",
                "2026-08-15",
            ),
            (
                "30 0-4 * * *",
                "00:30 01:30 02:30 03:30 04:30",
                "2027-02-01",
            ),
        ] {
            // Or the clock has just been put forward.
            let wrong: Option<String> = client
                .query_one(
                    "select min(t)::text from lockstep.cron_times($1, $2, $3::text::timestamptz, 1000) t
                      where to_char(t at time zone $2, 'HH24:MI') <> all (string_to_array($4, ' '))
                        and (t at time zone $2) - ((t - interval '1 second') at time zone $2) = interval '1 second'",
                    &[&cron, &zone, &after, &times],
                )?
                .get(0);
            assert_eq!(wrong, None, "{cron} {zone}");
        }
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
