//! Unique keys: what is enqueued is done after it was enqueued, and once where that is enough.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::database::cluster;
use crate::job::{claim, queue, runner};
use crate::service_account::number;
use crate::surface::refusal::error_of;

fn enqueue(client: &mut Client, args: &str, more: &str) -> Result<i64> {
    number(
        client,
        &format!("select lockstep.enqueue_job('A', '{args}', unique_key => 'k'{more})"),
    )
}

fn show(client: &mut Client) -> Result<String> {
    let row = client.query_one(
        "select coalesce(string_agg(id || ' ' || status || ' ' || args::text, ', ' order by id), '') from lockstep_internal.job",
        &[],
    )?;
    Ok(row.get(0))
}

/// A page of version 1 is being built when version 2 is written.
#[test]
fn what_is_enqueued_while_a_job_runs_is_not_lost() -> Result<()> {
    let mut client = queue("unique_running")?;
    let runner = runner(&mut client)?;
    for more in ["", ", deduplicate => 'replace'"] {
        let first = enqueue(&mut client, "1", more)?;
        assert_eq!(claim(&mut client, runner, 1)?, [first]);
        let second = enqueue(&mut client, "2", more)?;
        ensure!(second > first, "{more}: {second}");
        // The second one is enough for a third.
        assert_eq!(enqueue(&mut client, "2", more)?, second);
        client.execute("select lockstep.complete_job($1, $2)", &[&runner, &first])?;
        assert_eq!(show(&mut client)?, format!("{second} waiting 2"));
        assert_eq!(claim(&mut client, runner, 9)?, [second]);
        client.execute("select lockstep.complete_job($1, $2)", &[&runner, &second])?;
    }
    Ok(())
}

/// Whoever failed or was given back has started, so its key is free.
#[test]
fn a_key_is_given_up_for_good() -> Result<()> {
    let mut client = queue("unique_given_up")?;
    let runner = runner(&mut client)?;
    for back in [
        "fail_job($1, $2, 'no', '0')",
        "release_jobs($1, array[$2::bigint])",
        "release_other_jobs($1, array[-$2::bigint])",
    ] {
        let first = enqueue(&mut client, "1", "")?;
        assert_eq!(claim(&mut client, runner, 1)?, [first]);
        let second = enqueue(&mut client, "2", "")?;
        client.execute(&format!("select lockstep.{back}"), &[&runner, &first])?;
        let mut both = claim(&mut client, runner, 9)?;
        both.sort_unstable();
        assert_eq!(both, [first, second], "{back}");
        client.batch_execute("delete from lockstep_internal.job")?;
    }
    Ok(())
}

/// One that was given back before it started has its key again, unless another has it by now.
#[test]
fn what_is_given_back_is_enough_for_the_next() -> Result<()> {
    let mut client = queue("unique_given_back")?;
    for back in [
        "release_jobs($1, array[$2::bigint])",
        "release_other_jobs($1, array[-$2::bigint])",
        "stop_runner($1 + 0 * $2::bigint)",
    ] {
        for more in ["", ", deduplicate => 'replace'"] {
            let runner = runner(&mut client)?;
            let first = enqueue(&mut client, "1", "")?;
            assert_eq!(claim(&mut client, runner, 1)?, [first]);
            client.execute(&format!("select lockstep.{back}"), &[&runner, &first])?;
            assert_eq!(enqueue(&mut client, "2", more)?, first, "{back}");
            client.batch_execute("delete from lockstep_internal.job")?;
        }
    }
    // Of two with one key, one has it.
    let runner = runner(&mut client)?;
    let both: Vec<i64> = (0..2)
        .map(|_| {
            let job = enqueue(&mut client, "1", "")?;
            assert_eq!(claim(&mut client, runner, 1)?, [job]);
            Ok(job)
        })
        .collect::<Result<_>>()?;
    client.execute("select lockstep.release_jobs($1, $2)", &[&runner, &both])?;
    assert_eq!(enqueue(&mut client, "2", "")?, both[0]);
    Ok(())
}

/// Whoever enqueues a job with the key, and has not committed, holds nobody up.
#[test]
fn a_key_that_somebody_is_taking_is_left_to_them() -> Result<()> {
    let name = "unique_being_taken";
    let mut client = queue(name)?;
    let runner = runner(&mut client)?;
    let first = enqueue(&mut client, "1", "")?;
    assert_eq!(claim(&mut client, runner, 1)?, [first]);
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("begin")?;
    let second = enqueue(&mut other, "2", "")?;
    client.execute(
        "select lockstep.release_jobs($1, array[$2::bigint])",
        &[&runner, &first],
    )?;
    other.batch_execute("commit")?;
    assert_eq!(
        show(&mut client)?,
        format!("{first} waiting 1, {second} waiting 2")
    );
    assert_eq!(enqueue(&mut client, "3", "")?, second);
    Ok(())
}

#[test]
fn a_key_can_be_kept_until_the_job_has_ended() -> Result<()> {
    let mut client = queue("unique_executed")?;
    let until_executed = ", deduplicate => 'until_executed'";
    let runner = runner(&mut client)?;
    let first = enqueue(&mut client, "1", until_executed)?;
    assert_eq!(claim(&mut client, runner, 1)?, [first]);
    for more in [
        until_executed,
        "",
        ", deduplicate => 'replace', run_at => now() - interval '1 day'",
    ] {
        assert_eq!(enqueue(&mut client, "2", more)?, first, "{more}");
    }
    // While it waits to be tried again, too.
    client.execute(
        "select lockstep.fail_job($1, $2, 'no', '1 hour')",
        &[&runner, &first],
    )?;
    assert_eq!(enqueue(&mut client, "2", until_executed)?, first);
    assert_eq!(show(&mut client)?, format!("{first} waiting 1"));
    assert_eq!(claim(&mut client, runner, 1)?, [first]);
    client.execute("select lockstep.complete_job($1, $2)", &[&runner, &first])?;
    ensure!(enqueue(&mut client, "3", until_executed)? > first);
    Ok(())
}

#[test]
fn the_earlier_time_counts() -> Result<()> {
    let mut client = queue("unique_time")?;
    let runner = runner(&mut client)?;
    for mode in ["until_executing", "until_executed", "replace"] {
        let at = |at: &str| format!(", deduplicate => '{mode}', run_at => {at}");
        let job = enqueue(&mut client, "1", &at("now() + interval '1 hour'"))?;
        // A later time changes nothing, a sooner one does.
        enqueue(&mut client, "1", &at("now() + interval '2 hours'"))?;
        enqueue(&mut client, "1", &at("now() + interval '1 minute'"))?;
        let sooner = "select count(*) from lockstep_internal.job where status = 'scheduled' and run_at between now() and now() + interval '1 minute'";
        assert_eq!(number(&mut client, sooner)?, 1, "{mode}");
        assert_eq!(claim(&mut client, runner, 1)?, [0_i64; 0]);
        assert_eq!(enqueue(&mut client, "1", &at("null"))?, job);
        assert_eq!(claim(&mut client, runner, 1)?, [job], "{mode}");
        client.batch_execute("delete from lockstep_internal.job")?;
    }
    Ok(())
}

#[test]
fn a_waiting_job_can_be_replaced() -> Result<()> {
    let mut client = queue("unique_replace")?;
    let replace = ", deduplicate => 'replace'";
    let first = enqueue(&mut client, "1", ", deduplicate => 'until_executed'")?;
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 1)?, [first]);
    client.execute(
        "select lockstep.fail_job($1, $2, 'no', '1 hour')",
        &[&runner, &first],
    )?;
    // Without replace the arguments stay.
    enqueue(&mut client, "2", ", run_at => now() + interval '1 day'")?;
    assert_eq!(show(&mut client)?, format!("{first} scheduled 1"));
    assert_eq!(
        enqueue(&mut client, "3", &format!("{replace}, priority => -7"))?,
        first
    );
    let new = "select count(*) from lockstep_internal.job where args = '3' and priority = -7 and failures = 0 and status = 'waiting'";
    assert_eq!(number(&mut client, new)?, 1);
    Ok(())
}

/// What a transaction has written is there when the job runs that was enqueued in it.
#[test]
fn a_job_waits_for_all_transactions_that_enqueued_it() -> Result<()> {
    let name = "unique_commit";
    let mut client = queue(name)?;
    let runner = runner(&mut client)?;
    let job = enqueue(&mut client, "1", "")?;
    let mut one = cluster()?.connect(name)?;
    let mut two = cluster()?.connect(name)?;
    for session in [&mut one, &mut two] {
        session.batch_execute("begin; set lock_timeout = '10s'")?;
        assert_eq!(enqueue(session, "1", "")?, job);
    }
    assert_eq!(claim(&mut client, runner, 1)?, [0_i64; 0]);
    one.batch_execute("commit")?;
    assert_eq!(claim(&mut client, runner, 1)?, [0_i64; 0]);
    two.batch_execute("rollback")?;
    assert_eq!(claim(&mut client, runner, 1)?, [job]);
    Ok(())
}

/// The key follows the worker when it is renamed, and stays behind when the rename is removed.
#[test]
fn a_key_stays_unique_when_a_worker_is_renamed() -> Result<()> {
    let mut client = queue("unique_rename")?;
    client.batch_execute("select * from lockstep.attach()")?;
    let enqueue = |client: &mut Client, worker: &str, key: &str| {
        number(
            client,
            &format!("select lockstep.enqueue_job('{worker}', unique_key => '{key}')"),
        )
    };
    let both = enqueue(&mut client, "Old", "both")?;
    let new = enqueue(&mut client, "New", "new")?;
    enqueue(&mut client, "New", "both")?;
    client.batch_execute("select lockstep.rename_worker('Old', 'New', 'f')")?;
    for worker in ["Old", "New"] {
        assert_eq!(enqueue(&mut client, worker, "new")?, new);
        assert_eq!(enqueue(&mut client, worker, "both")?, both);
    }
    client.batch_execute("select lockstep.set_feature('f', true)")?;
    let after = enqueue(&mut client, "Old", "after")?;
    client
        .batch_execute("select lockstep.retire_worker('Old')")
        .err();
    client.batch_execute("select lockstep.remove_worker_rename('Old')")?;
    assert_eq!(enqueue(&mut client, "New", "after")?, after);
    assert_eq!(enqueue(&mut client, "New", "new")?, new);
    assert_eq!(enqueue(&mut client, "Old", "both")?, both);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        4
    );
    // What a removed rename has retired does not come back with the next one.
    client.batch_execute(
        "delete from lockstep_internal.job; select lockstep.rename_worker('Old', 'New', 'f'); select lockstep.retire_worker('Old');
         select lockstep.remove_worker_rename('Old'); select lockstep.set_feature('f', false); select lockstep.rename_worker('Old', 'Newer', 'f')",
    )?;
    enqueue(&mut client, "Old", "k")?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.job where worker = 'Old'"
        )?,
        1
    );
    Ok(())
}

/// So does the key of a job that has not got it at the time, but may take it again: it runs, or is dead.
#[test]
fn a_key_that_is_taken_again_follows_the_worker() -> Result<()> {
    let mut client = queue("unique_rename_taken")?;
    client
        .batch_execute("select * from lockstep.attach(); select lockstep.define_worker('B', 0)")?;
    let runner = runner(&mut client)?;
    let give_back = format!("lockstep.release_jobs({runner}, array[$1::bigint])");
    let retry = "lockstep.retry_job($1)".to_owned();
    let retry_all = "lockstep.retry_dead_jobs('B') where $1::bigint > 0".to_owned();
    for (again, dies, deduplicate) in [
        (&give_back, false, "until_executing"),
        (&retry, true, "until_executing"),
        (&retry, true, "until_executed"),
        (&retry_all, true, "until_executed"),
    ] {
        for is_removed in [false, true] {
            client.batch_execute("delete from lockstep_internal.job; delete from lockstep_internal.worker_rename where not is_built_in")?;
            let rename = "select lockstep.rename_worker('A', 'B', 'f')";
            if is_removed {
                client.batch_execute(rename)?;
            }
            let enqueue = format!(
                "select lockstep.enqueue_job('B', unique_key => 'k', deduplicate => '{deduplicate}')"
            );
            client.batch_execute("select lockstep.set_feature('f', true)")?;
            let first = number(&mut client, &enqueue)?;
            let claimed = "select job from lockstep.claim_jobs($1, '{A,B}', 9)";
            let row = client.query_one(claimed, &[&runner])?;
            assert_eq!(row.get::<_, i64>(0), first);
            if dies {
                client.execute("select lockstep.fail_job($1, $2, 'no')", &[&runner, &first])?;
            }
            client.batch_execute(match is_removed {
                true => "select lockstep.remove_worker_rename('A')",
                false => rename,
            })?;
            client.execute(&format!("select {again}"), &[&first])?;
            let what = format!("{again}, {deduplicate}, removed: {is_removed}");
            assert_eq!(number(&mut client, &enqueue)?, first, "{what}");
        }
    }
    Ok(())
}

#[test]
fn an_unknown_way_is_refused() -> Result<()> {
    let mut client = queue("unique_refused")?;
    for (mode, code) in [
        ("''", "22023"),
        ("'UNTIL_EXECUTED'", "22023"),
        ("repeat('x', 100000)", "22023"),
        ("null", "22004"),
    ] {
        let error = error_of(
            &mut client,
            &format!("select lockstep.enqueue_job('A', deduplicate => {mode})"),
        )?;
        assert_eq!(error.code().code(), code, "{error:?}");
        ensure!(error.message().len() < 200, "{error:?}");
    }
    Ok(())
}
