//! Renaming workers: under which name jobs are enqueued, and when the old name can be retired.

use anyhow::{Result, anyhow};
use postgres::Client;

use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::cluster;
use crate::job::{queue, runner};
use crate::service_account::number;
use crate::surface::refusal::error_of;

fn renamed(name: &str) -> Result<Client> {
    let mut client = queue(name)?;
    client.batch_execute(
        "select * from lockstep.attach(); select lockstep.rename_worker('Old', 'New', 'rename');
         select lockstep.rename_worker('New', 'Newest', 'rename_again')",
    )?;
    Ok(client)
}

/// Enqueues under all names; returns the names that the jobs got.
fn names(client: &mut Client) -> Result<Vec<String>> {
    client.batch_execute(
        "delete from lockstep_internal.job;
         select lockstep.enqueue_job('Old'); select lockstep.enqueue_job('New'); select lockstep.enqueue_job('Newest');
         select lockstep.enqueue_job('Other')",
    )?;
    let rows = client.query("select worker from lockstep_internal.job order by id", &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn set(client: &mut Client, flag: &str, on: bool) -> Result<()> {
    client.execute("select lockstep.set_feature($1, $2)", &[&flag, &on])?;
    Ok(())
}

#[test]
fn jobs_get_the_name_that_is_due() -> Result<()> {
    let mut client = renamed("rename_names")?;
    assert_eq!(names(&mut client)?, ["Old", "Old", "Old", "Other"]);
    set(&mut client, "rename", true)?;
    assert_eq!(names(&mut client)?, ["New", "New", "New", "Other"]);
    set(&mut client, "rename_again", true)?;
    assert_eq!(names(&mut client)?, ["Newest", "Newest", "Newest", "Other"]);
    // A runner that does not know the first rename does not know the second one either.
    set(&mut client, "rename", false)?;
    assert_eq!(names(&mut client)?, ["Old", "Old", "Old", "Other"]);
    client.batch_execute("select lockstep.remove_worker_rename('Old')")?;
    assert_eq!(names(&mut client)?, ["Old", "Newest", "Newest", "Other"]);
    Ok(())
}

#[test]
fn a_key_is_unique_over_all_names() -> Result<()> {
    let mut client = renamed("rename_unique")?;
    let enqueue = "select lockstep.enqueue_job('Newest', unique_key => 'k')";
    let first = number(&mut client, enqueue)?;
    set(&mut client, "rename", true)?;
    assert_eq!(number(&mut client, enqueue)?, first);
    set(&mut client, "rename_again", true)?;
    assert_eq!(
        number(
            &mut client,
            "select lockstep.enqueue_job('Old', unique_key => 'k')"
        )?,
        first
    );
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        1
    );
    Ok(())
}

#[test]
fn old_name_is_retired_once_it_is_drained() -> Result<()> {
    let mut client = renamed("rename_retire")?;
    let retire = "select lockstep.retire_worker('Old')";
    let refused = |client: &mut Client, detail: &str| -> Result<()> {
        let error = error_of(client, retire)?;
        assert_eq!(error.code().code(), "55000", "{error}");
        assert!(
            error.detail().unwrap_or_default().contains(detail),
            "{error:?}"
        );
        Ok(())
    };
    client.batch_execute(
        "select lockstep.define_worker('Old', 0); select lockstep.enqueue_job('Old')",
    )?;
    refused(&mut client, "still enqueued under the old name")?;
    // A percentage of the time is not always.
    client.batch_execute("select lockstep.set_feature_percentage('rename', 99.9, 'time')")?;
    refused(&mut client, "still enqueued under the old name")?;
    set(&mut client, "rename", true)?;
    refused(&mut client, "Enqueued: 1, running: 0, dead: 0")?;
    let runner = runner(&mut client)?;
    let claim = format!("select count(*) from lockstep.claim_jobs({runner}, '{{Old}}', 10)");
    assert_eq!(number(&mut client, &claim)?, 1);
    refused(&mut client, "Enqueued: 0, running: 1, dead: 0")?;
    client.batch_execute(&format!("select lockstep.fail_job({runner}, 1, 'no')"))?;
    refused(&mut client, "Enqueued: 0, running: 0, dead: 1")?;
    client.batch_execute("select lockstep.discard_job(1)")?;
    let drained = "select count(*) from lockstep.worker_status where worker = 'Old' and drained and retired_at is null";
    assert_eq!(number(&mut client, drained)?, 1);
    client.batch_execute(retire)?;
    client.batch_execute(retire)?;
    // From now on the flag changes nothing.
    set(&mut client, "rename", false)?;
    assert_eq!(names(&mut client)?, ["New", "New", "New", "Other"]);
    Ok(())
}

/// A job that is being enqueued under the old name, not yet visible to anybody, prevents the name from being retired; jobs
/// enqueued while it is being retired get the new name.
#[test]
fn retiring_waits_for_who_is_enqueuing() -> Result<()> {
    let name = "rename_race";
    for commit in [true, false] {
        let name = format!("{name}_{commit}");
        let mut client = renamed(&name)?;
        let mut one = cluster()?.connect(&name)?;
        let mut two = cluster()?.connect(&name)?;
        one.batch_execute("begin; select lockstep.enqueue_job('Old')")?;
        set(&mut client, "rename", true)?;
        let pid = pid_of(&mut two)?;
        let outcome = std::thread::scope(|scope| -> Result<_> {
            let retired = scope.spawn(|| two.batch_execute("select lockstep.retire_worker('Old')"));
            wait_until_blocked(&mut client, pid)?;
            one.batch_execute(if commit { "commit" } else { "rollback" })?;
            retired.join().map_err(|_| anyhow!("a session panicked"))
        })?;
        let code = outcome
            .err()
            .and_then(|error| error.code().map(|code| code.code().to_owned()));
        assert_eq!(code.as_deref(), if commit { Some("55000") } else { None });
        // The other way round: the flag is turned off while the name is being retired.
        if !commit {
            continue;
        }
        client.batch_execute(
            "delete from lockstep_internal.job; begin; select lockstep.retire_worker('Old')",
        )?;
        one.batch_execute("select lockstep.set_feature('rename', false)")?;
        let pid = pid_of(&mut one)?;
        std::thread::scope(|scope| -> Result<()> {
            let enqueued = scope.spawn(|| one.batch_execute("select lockstep.enqueue_job('Old')"));
            wait_until_blocked(&mut two, pid)?;
            client.batch_execute("commit")?;
            enqueued
                .join()
                .map_err(|_| anyhow!("a session panicked"))??;
            Ok(())
        })?;
        assert_eq!(
            number(
                &mut client,
                "select count(*) from lockstep_internal.job where worker = 'New'"
            )?,
            1
        );
    }
    Ok(())
}

/// The rules of workers are read without a statement, which would have checked it.
#[test]
fn a_column_of_another_type_is_not_read() -> Result<()> {
    let mut client = queue("rename_type")?;
    client.batch_execute(
        "alter table lockstep_internal.host_worker alter retries type bigint;
         insert into lockstep_internal.host_worker values ('Changed', 3, true)",
    )?;
    let error = error_of(&mut client, "select lockstep.enqueue_job('Changed')")?;
    assert_eq!(error.code().code(), "42804", "{error:?}");
    Ok(())
}
