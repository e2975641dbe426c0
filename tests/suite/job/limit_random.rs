//! Runners that do anything at once, under limits.

use std::io::{Write, stderr};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};

use super::{claim, lapse, queue, runner};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::random::plan::Dice;
use crate::random::seed;
use crate::service_account::number;

const RUNNERS: u64 = 8;
const JOBS: i64 = 400;

/// Eight runners claim, complete, fail, give back and get lost as they like: at no moment do more jobs run than the limits let, and
/// in the end each job is done.
///
/// LOCKSTEP_SEED=... repeats the choices of a run; the interleaving depends on the machine.
#[test]
fn runners_at_once_never_exceed_a_limit() -> Result<()> {
    let name = "limit_random";
    let seed = seed()?;
    writeln!(stderr(), "limits: LOCKSTEP_SEED={seed}")?;
    let mut client = queue(name)?;
    client.batch_execute(&format!(
        "select lockstep.limit_worker('A', 5), lockstep.limit_worker('A', 2, by => 'key'), lockstep.limit_worker('B', 1, by => 'key'),
                lockstep.define_worker('A', 100), lockstep.define_worker('B', 100);
         select setseed({});
         select lockstep.enqueue_job(case when random() < 0.5 then 'A' else 'B' end, priority => floor(random() * 3)::integer,
                                     concurrency_key => case when random() < 0.9 then 'k' || floor(random() * 3) end)
           from generate_series(1, {JOBS})",
        (seed % 1_000) as f64 / 1_000.0
    ))?;
    let threads: Vec<_> = (0..RUNNERS)
        .map(|number| thread::spawn(move || run(name, Dice::new(seed, number))))
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a runner panicked"))??;
    }
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        0
    );
    Ok(())
}

/// The limits that are exceeded now, by one look at what runs.
const EXCEEDED: &str = "
select count(*) from (
  select worker, concurrency_key, count(*) as jobs from lockstep_internal.job where status = 'running' group by grouping sets ((worker), (worker, concurrency_key))) r
 where (concurrency_key is null and worker = 'A' and jobs > 5) or (concurrency_key is not null and jobs > case worker when 'A' then 2 else 1 end)";

fn run(name: &str, mut dice: Dice) -> Result<()> {
    let mut client = cluster()?.connect(name)?;
    client.batch_execute("set lock_timeout = '20s'")?;
    let begun = Instant::now();
    let mut number_of_runner = runner(&mut client)?;
    loop {
        let claimed = claim(&mut client, number_of_runner, 1 + dice.below(4) as i32)?;
        ensure!(
            number(&mut client, EXCEEDED)? == 0,
            "more run than the limits let"
        );
        if claimed.is_empty()
            && number(&mut client, "select count(*) from lockstep_internal.job")? == 0
        {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "jobs are left that nobody can claim"
        );
        // A runner that is lost may have done half of its jobs.
        let is_lost = dice.below(10) == 0;
        let done = if is_lost {
            claimed.len() / 2
        } else {
            claimed.len()
        };
        for job in claimed.into_iter().take(done) {
            let end = match dice.below(10) {
                0 => "fail_job($1, $2, 'no', '0 seconds')",
                1 => "release_jobs($1, array[$2::bigint])",
                _ => "complete_jobs($1, array[$2::bigint])",
            };
            client.execute(
                &format!("select lockstep.{end}"),
                &[&number_of_runner, &job],
            )?;
        }
        if is_lost {
            let lost = number_of_runner;
            number_of_runner = runner(&mut client)?;
            match dice.below(2) {
                0 => lapse(&mut client, lost)?,
                _ => client
                    .execute("select lockstep.stop_runner($1)", &[&lost])
                    .map(drop)?,
            }
        }
    }
}
