//! A job that waits for others: they count down a row of the application's own, as decision 18 says.

use std::thread;

use anyhow::{Result, anyhow};

use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::cluster;
use crate::job::{claim, queue, runner};
use crate::service_account::number;

const WAITS: &str = "create table waits (job text primary key, missing integer not null); insert into waits values ('Report', 3);
                     select lockstep.enqueue_job('A') from generate_series(1, 3)";

/// In the transaction that completes a job; the last one enqueues what waited.
fn done(runner: i64, job: i64) -> String {
    format!(
        "begin; select lockstep.complete_job({runner}, {job});
         with counted as (update waits set missing = missing - 1 where job = 'Report' returning missing)
         select lockstep.enqueue_job('Report') from counted where missing = 0"
    )
}

#[test]
fn the_last_of_several_jobs_enqueues_the_one_that_waits_for_them() -> Result<()> {
    let name = "job_after";
    let mut client = queue(name)?;
    client.batch_execute(WAITS)?;
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 10)?, [1, 2, 3]);
    let waiting = "select count(*) from lockstep_internal.job where worker = 'Report'";
    let mut first = cluster()?.connect(name)?;
    let mut second = cluster()?.connect(name)?;
    let pid = pid_of(&mut second)?;
    // One that is undone counts as little as one that failed.
    first.batch_execute(&format!("{}; rollback", done(runner, 1)))?;
    first.batch_execute(&format!("{}; commit", done(runner, 1)))?;
    client.execute("select lockstep.fail_job($1, 2, 'no', '0')", &[&runner])?;
    assert_eq!(claim(&mut client, runner, 10)?, [2]);
    first.batch_execute(&done(runner, 2))?;
    thread::scope(|scope| -> Result<()> {
        let last = format!("{}; commit", done(runner, 3));
        let last = scope.spawn(move || second.batch_execute(&last));
        // The second one counts after the first: both at once do not leave one missing.
        wait_until_blocked(&mut client, pid)?;
        assert_eq!(number(&mut client, waiting)?, 0);
        first.batch_execute("commit")?;
        last.join().map_err(|_| anyhow!("the session panicked"))??;
        Ok(())
    })?;
    assert_eq!(number(&mut client, waiting)?, 1);
    Ok(())
}
