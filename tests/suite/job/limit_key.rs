//! Limits by concurrency key, and of how many jobs start within a period.

use anyhow::{Result, ensure};
use postgres::Client;

use super::pages::fewest_pages;
use super::{claim, lapse, queue, runner};
use crate::database::cluster;
use crate::service_account::number;

pub(super) const NONE: [i64; 0] = [];

/// Enqueues a job of A for each key; an empty one is none.
pub(super) fn enqueue(client: &mut Client, keys: &[&str]) -> Result<()> {
    for key in keys {
        client.execute(
            "select lockstep.enqueue_job('A', concurrency_key => nullif($1, ''))",
            &[key],
        )?;
    }
    Ok(())
}

pub(super) fn blocked(client: &mut Client) -> Result<i64> {
    number(
        client,
        "select coalesce(sum(blocked), 0)::bigint from lockstep.worker_status",
    )
}

#[test]
fn jobs_of_a_key_run_as_many_at_once_as_its_limit_says() -> Result<()> {
    // Limits of the worker and of keys, the keys of jobs 1, 2, ..., which start, and how many are blocked then.
    type Case = (&'static str, &'static [&'static str], &'static [i64], i64);
    let cases: [Case; 8] = [
        ("null", &["x", "x", "y"], &[1, 2, 3], 0),
        ("1, by => 'key'", &["x", "x", "y", "", ""], &[1, 3, 4, 5], 1),
        ("2, by => 'key'", &["x", "x", "x", "y"], &[1, 2, 4], 1),
        ("1, by => 'key'", &["x", "x", "x", "x"], &[1], 3),
        // Both limits hold. What the limit of the worker keeps back is not blocked.
        (
            "3); select lockstep.limit_worker('A', 1, by => 'key'",
            &["x", "x", "y", "z", "w"],
            &[1, 3, 4],
            1,
        ),
        (
            "rate => 2, period => '1 hour'",
            &["x", "", "y", ""],
            &[1, 2],
            0,
        ),
        (
            "rate => 1, period => '1 hour', by => 'key'",
            &["x", "x", "y", "", ""],
            &[1, 3, 4, 5],
            1,
        ),
        ("3, 1, '1 hour', 'key'", &["x", "x", "y"], &[1, 3], 1),
    ];
    let mut client = queue("limit_key_table")?;
    for (limits, keys, starts, left) in cases {
        client.batch_execute(&format!(
            "truncate lockstep_internal.job, lockstep_internal.job_runner, lockstep_internal.worker_limit, lockstep_internal.worker_limit_use restart identity;
             select lockstep.limit_worker('A', {limits})"
        ))?;
        enqueue(&mut client, keys)?;
        let runner = runner(&mut client)?;
        assert_eq!(claim(&mut client, runner, 10)?, starts, "{limits} {keys:?}");
        assert_eq!(claim(&mut client, runner, 10)?, NONE, "{limits} {keys:?}");
        assert_eq!(blocked(&mut client)?, left, "{limits} {keys:?}");
    }
    Ok(())
}

/// However a job ends, the next one of its key starts, in order.
#[test]
fn whatever_ends_a_job_lets_the_next_one_of_its_key_start() -> Result<()> {
    let mut client = queue("limit_key_ends")?;
    client.batch_execute(
        "select lockstep.limit_worker('A', 1, by => 'key'); select lockstep.define_worker('A', 0)",
    )?;
    let one = runner(&mut client)?;
    enqueue(&mut client, &["x"; 10])?;
    client.batch_execute(
        "select lockstep.enqueue_job('A', concurrency_key => 'x', priority => -1)",
    )?;
    let two = runner(&mut client)?;
    assert_eq!(claim(&mut client, two, 10)?, [11]);
    let ends: [(&str, &[i64]); 9] = [
        ("complete_jobs({runner}, '{11}')", &[1]),
        ("complete_job({runner}, 1)", &[2]),
        ("fail_job({runner}, 2, 'no')", &[3]),
        ("cancel_job(3)", &[4]),
        // What is given back comes first again.
        ("release_jobs({runner}, '{4}')", &[4]),
        ("release_other_jobs({runner}, '{}')", &[4]),
        ("complete_jobs({runner}, '{4, 999}')", &[5]),
        // It does not run, so nothing starts.
        ("cancel_job(7)", &[]),
        ("complete_jobs({runner}, '{5}')", &[6]),
    ];
    for (end, next) in ends {
        let end = end.replace("{runner}", &two.to_string());
        client.batch_execute(&format!("select lockstep.{end}"))?;
        assert_eq!(claim(&mut client, two, 10)?, next, "{end}");
    }
    // The runner is lost, or stops.
    lapse(&mut client, two)?;
    assert_eq!(claim(&mut client, one, 10)?, [6]);
    client.execute("select lockstep.stop_runner($1)", &[&one])?;
    let three = runner(&mut client)?;
    assert_eq!(claim(&mut client, three, 10)?, [6]);
    // Without the limit, or with a higher one, the others start.
    client.batch_execute("select lockstep.limit_worker('A', 2, by => 'key')")?;
    assert_eq!(claim(&mut client, three, 10)?, [8]);
    client.batch_execute("select lockstep.limit_worker('A', by => 'key')")?;
    assert_eq!(claim(&mut client, three, 10)?, [9, 10]);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.worker_limit_use"
        )?,
        0
    );
    Ok(())
}

/// A job is blocked while the one that runs ends in a transaction that nobody sees yet.
#[test]
fn an_end_that_is_not_committed_is_not_missed() -> Result<()> {
    let name = "limit_key_race";
    let mut client = queue(name)?;
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("set lock_timeout = '10s'")?;
    // The limit is set before, or while the end is under way.
    for limit_first in [true, false] {
        client.batch_execute("truncate lockstep_internal.job, lockstep_internal.worker_limit, lockstep_internal.worker_limit_use restart identity")?;
        let limit = "select lockstep.limit_worker('A', 1, by => 'key')";
        if limit_first {
            client.batch_execute(limit)?;
        }
        let one = runner(&mut client)?;
        enqueue(&mut client, &["x"])?;
        assert_eq!(claim(&mut client, one, 10)?, [1]);
        enqueue(&mut client, &["x"])?;
        client.batch_execute("begin")?;
        client.execute("select lockstep.complete_jobs($1, '{1}')", &[&one])?;
        if !limit_first {
            other.batch_execute(limit)?;
        }
        let two = runner(&mut other)?;
        assert_eq!(claim(&mut other, two, 10)?, NONE);
        assert_eq!(blocked(&mut other)?, 1);
        client.batch_execute("commit")?;
        assert_eq!(claim(&mut other, two, 10)?, [2], "{limit_first}");
    }
    Ok(())
}

/// Somebody changes the job that is to start: the claim does not wait, and the next one finds it.
#[test]
fn a_blocked_job_that_is_being_changed_starts_later() -> Result<()> {
    let name = "limit_key_changed";
    let mut client = queue(name)?;
    client.batch_execute("select lockstep.limit_worker('A', 1, by => 'key')")?;
    let mut other = cluster()?.connect(name)?;
    let one = runner(&mut client)?;
    client.batch_execute("set lock_timeout = '10s'")?;
    enqueue(&mut client, &["x"])?;
    client.batch_execute("select lockstep.enqueue_job('A', '1', 'u', concurrency_key => 'x')")?;
    assert_eq!(claim(&mut client, one, 10)?, [1]);
    assert_eq!(claim(&mut client, one, 10)?, NONE);
    other.batch_execute(
        "begin; select lockstep.enqueue_job('A', '2', 'u', deduplicate => 'replace')",
    )?;
    client.execute("select lockstep.complete_jobs($1, '{1}')", &[&one])?;
    assert_eq!(claim(&mut client, one, 10)?, NONE);
    other.batch_execute("commit")?;
    assert_eq!(claim(&mut client, one, 10)?, [2]);
    let args = "select (args #>> '{}')::bigint from lockstep_internal.job where id = 2";
    assert_eq!(number(&mut client, args)?, 2);
    Ok(())
}

/// Somebody holds the job that comes next: the others do not wait for its place.
#[test]
fn a_waiting_job_that_somebody_holds_leaves_its_room_to_others() -> Result<()> {
    let name = "limit_key_held";
    let mut client = queue(name)?;
    let mut other = cluster()?.connect(name)?;
    for by in ["key", "worker"] {
        client.batch_execute(&format!(
            "truncate lockstep_internal.job, lockstep_internal.worker_limit, lockstep_internal.worker_limit_use restart identity;
             select lockstep.limit_worker('A', 1, by => '{by}');
             select lockstep.enqueue_job('A', unique_key => 'u' || n, concurrency_key => 'x') from generate_series(1, 20) n"
        ))?;
        enqueue(&mut client, &["x", "x"])?;
        other.batch_execute(
            "begin; select lockstep.enqueue_job('A', unique_key => 'u' || n) from generate_series(1, 20) n",
        )?;
        let runner = runner(&mut client)?;
        assert_eq!(claim(&mut client, runner, 2)?, [21], "{by}");
        assert_eq!(claim(&mut client, runner, 2)?, NONE, "{by}");
        other.batch_execute("commit")?;
        client.execute("select lockstep.complete_jobs($1, '{21}')", &[&runner])?;
        assert_eq!(claim(&mut client, runner, 2)?, [1], "{by}");
    }
    Ok(())
}

#[test]
fn a_rate_counts_what_has_started_within_its_period() -> Result<()> {
    let mut client = queue("limit_rate")?;
    // So many uses began at another time; those in the far future were counted while the clock was ahead.
    let pass = |client: &mut Client, uses: i32, by: &str| -> Result<()> {
        client.batch_execute(&format!(
            "update lockstep_internal.worker_limit_use set started_at = started_at + interval '{by}'
              where ctid = any (array(select ctid from lockstep_internal.worker_limit_use
                                       where started_at between now() - interval '50 minutes' and now() order by started_at limit {uses}))"
        ))?;
        Ok(())
    };
    for by in ["worker", "key"] {
        client.batch_execute(&format!(
            "truncate lockstep_internal.job, lockstep_internal.worker_limit, lockstep_internal.worker_limit_use restart identity;
             select lockstep.limit_worker('A', rate => 3, period => '1 hour', by => '{by}')"
        ))?;
        let runner = runner(&mut client)?;
        enqueue(&mut client, &["x"; 12])?;
        assert_eq!(claim(&mut client, runner, 1)?, [1], "{by}");
        // A job that has ended still counts.
        client.execute("select lockstep.complete_jobs($1, '{1}')", &[&runner])?;
        assert_eq!(claim(&mut client, runner, 10)?, [2, 3], "{by}");
        assert_eq!(claim(&mut client, runner, 10)?, NONE, "{by}");
        pass(&mut client, 1, "-1 hour")?;
        assert_eq!(claim(&mut client, runner, 10)?, [4], "{by}");
        assert_eq!(claim(&mut client, runner, 10)?, NONE, "{by}");
        pass(&mut client, 1, "1 year")?;
        assert_eq!(claim(&mut client, runner, 10)?, [5, 6], "{by}");
        assert_eq!(claim(&mut client, runner, 10)?, NONE, "{by}");
        // In no span of the new period do more jobs start either.
        client.batch_execute(&format!(
            "select lockstep.limit_worker('A', rate => 2, period => '20 minutes', by => '{by}')"
        ))?;
        assert_eq!(claim(&mut client, runner, 10)?, NONE, "{by}");
        pass(&mut client, 2, "-20 minutes")?;
        assert_eq!(claim(&mut client, runner, 10)?, [7, 8], "{by}");
        client.batch_execute(&format!("select lockstep.limit_worker('A', by => '{by}')"))?;
        assert_eq!(claim(&mut client, runner, 10)?, [9, 10, 11, 12], "{by}");
        assert_eq!(
            number(
                &mut client,
                "select count(*) from lockstep_internal.worker_limit_use"
            )?,
            0,
            "{by}"
        );
    }
    Ok(())
}

/// A runner that finds nothing to do writes nothing: no row lock, no transaction number.
#[test]
fn who_finds_no_room_writes_nothing() -> Result<()> {
    let mut client = queue("limit_idle")?;
    for limit in [
        "1",
        "rate => 1, period => '1 hour'",
        "1, by => 'key'",
        "rate => 1, period => '1 hour', by => 'key'",
    ] {
        client.batch_execute(&format!(
            "truncate lockstep_internal.job, lockstep_internal.job_runner, lockstep_internal.worker_limit, lockstep_internal.worker_limit_use restart identity;
             select lockstep.limit_worker('A', {limit})"
        ))?;
        let runner = runner(&mut client)?;
        enqueue(&mut client, &["x"; 5])?;
        assert_eq!(claim(&mut client, runner, 10)?, [1], "{limit}");
        // Those of a full key are blocked once.
        assert_eq!(claim(&mut client, runner, 10)?, NONE, "{limit}");
        client.batch_execute("begin")?;
        assert_eq!(claim(&mut client, runner, 10)?, NONE, "{limit}");
        let written = "select count(pg_current_xact_id_if_assigned())";
        assert_eq!(number(&mut client, written)?, 0, "{limit}");
        client.batch_execute("commit")?;
    }
    Ok(())
}

/// Many jobs of a key that has no room come before another one.
#[test]
fn a_full_key_does_not_stand_before_others() -> Result<()> {
    let mut client = queue("limit_head")?;
    client.batch_execute(
        "select lockstep.limit_worker('A', 2); select lockstep.limit_worker('A', 1, by => 'key');
         select count(lockstep.enqueue_job('A', concurrency_key => 'x')) from generate_series(1, 5000);
         select lockstep.enqueue_job('A', concurrency_key => 'y'), lockstep.enqueue_job('B')",
    )?;
    let runner = runner(&mut client)?;
    // What is blocked makes the claim look further.
    assert_eq!(claim(&mut client, runner, 3)?, [1, 5002, 5001]);
    let claim = format!("select * from lockstep.claim_jobs({runner}, '{{A, B}}', 3)");
    client.batch_execute("vacuum lockstep_internal.job")?;
    let read = fewest_pages(&mut client, &claim)?;
    println!("{read} pages");
    ensure!(read < 100, "{read} pages");
    Ok(())
}

/// Two claims that each have the limits of one worker and look for the other one's jobs as well: neither waits.
#[test]
fn limited_workers_in_opposite_order_do_not_deadlock() -> Result<()> {
    let name = "limit_opposite";
    let mut client = queue(name)?;
    client.batch_execute(
        "select lockstep.limit_worker(w, 1, by => b) from unnest('{A, B}'::text[]) w, unnest('{worker, key}'::text[]) b;
         select lockstep.enqueue_job(j.w, concurrency_key => 'x')
           from (select w from generate_series(1, 3), unnest('{A, B}'::text[]) w order by w offset 0) j",
    )?;
    let mut other = cluster()?.connect(name)?;
    let runners = [runner(&mut client)?, runner(&mut client)?];
    let mut clients = [
        client,
        other
            .batch_execute("set lock_timeout = '10s'")
            .map(|()| other)?,
    ];
    clients[0].batch_execute("set lock_timeout = '10s'")?;
    let mut claimed = Vec::new();
    for workers in [["A", "B"], ["B", "A"]] {
        for ((client, runner), worker) in clients.iter_mut().zip(runners).zip(workers) {
            if workers[0] == "A" {
                client.batch_execute("begin")?;
            }
            let sql = format!("select job from lockstep.claim_jobs({runner}, '{{{worker}}}', 10)");
            let rows = client.query(&sql, &[])?;
            claimed.push(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>());
        }
    }
    for client in &mut clients {
        client.batch_execute("commit")?;
    }
    assert_eq!(claimed, [vec![1], vec![4], vec![], vec![]]);
    Ok(())
}
