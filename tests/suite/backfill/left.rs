//! What is left of a job and a run whose table is gone.

use crate::backfill::{SLOW, counted, progress, start, wait_until};
use crate::service_account::number;
use crate::surface::refusal::refused;
use anyhow::Result;
use postgres::Client;

const RUNS: &str = "select count(*) from lockstep.backfill_progress";

/// The table belongs to `_owner`.
fn owned(name: &str) -> Result<Client> {
    let mut client = counted(name, 300)?;
    client.batch_execute(&format!(
        "create role {name}_owner; create role {name}_admin in role lockstep_admin; create role {name}_other;
         create role {name}_next; grant create on schema public to {name}_owner, {name}_next;
         select lockstep.unregister_backfill_job('count'); alter table counted owner to {name}_owner"
    ))?;
    Ok(client)
}

fn become_role(client: &mut Client, role: &str) -> Result<()> {
    Ok(client.batch_execute(&format!("reset role; set role {role}"))?)
}

const REGISTER: &str = "select lockstep.register_backfill_job('count', 'counted', 'update counted set n = n + 1 where {range}')";
const UNREGISTER: &str = "select lockstep.unregister_backfill_job('count')";

#[test]
fn a_job_without_a_table_can_be_removed() -> Result<()> {
    let name = "backfill_left_job";
    let mut client = owned(name)?;
    let [owner, admin, other] = ["owner", "admin", "other"].map(|role| format!("{name}_{role}"));
    for remover in [&owner, &admin] {
        become_role(&mut client, &owner)?;
        client.batch_execute(REGISTER)?;
        for stranger in [&admin, &other] {
            become_role(&mut client, stranger)?;
            refused(&mut client, UNREGISTER, "42501", "must have the rights")?;
        }
        become_role(&mut client, &owner)?;
        client.batch_execute("alter table counted rename to recounted")?;
        refused(
            &mut client,
            "select lockstep.start_backfill('count')",
            "42704",
            "does not exist",
        )?;
        become_role(&mut client, &other)?;
        refused(&mut client, UNREGISTER, "42501", "must have the rights")?;
        become_role(&mut client, remover)?;
        client.batch_execute(UNREGISTER)?;
        become_role(&mut client, &owner)?;
        client.batch_execute("alter table recounted rename to counted")?;
    }
    // Another table with the name is its owner's, and so is the job.
    client.batch_execute(&format!(
        "{REGISTER}; alter table counted rename to recounted"
    ))?;
    become_role(&mut client, &format!("{name}_next"))?;
    client.batch_execute("create table counted (id bigint primary key, n integer)")?;
    for stranger in [&owner, &admin] {
        become_role(&mut client, stranger)?;
        refused(&mut client, UNREGISTER, "42501", "must have the rights")?;
    }
    Ok(())
}

#[test]
fn a_run_without_a_table_can_be_cancelled() -> Result<()> {
    let name = "backfill_left_run";
    let mut client = owned(name)?;
    let [owner, admin, other] = ["owner", "admin", "other"].map(|role| format!("{name}_{role}"));
    become_role(&mut client, &owner)?;
    client.batch_execute(REGISTER)?;
    for canceller in [&owner, &admin] {
        become_role(&mut client, &owner)?;
        let run = start(&mut client, "count", 1, SLOW)?;
        client.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
        wait_until(&mut client, run, "pids = '{}'")?;
        become_role(&mut client, &admin)?;
        assert_eq!(number(&mut client, RUNS)?, 0, "the table is there");
        become_role(&mut client, &owner)?;
        client.batch_execute("drop table counted")?;
        let cancel = format!("select lockstep.cancel_backfill({run})");
        become_role(&mut client, &other)?;
        assert_eq!(number(&mut client, RUNS)?, 0);
        refused(&mut client, &cancel, "42501", "must have the rights")?;
        become_role(&mut client, canceller)?;
        let resume = format!("select lockstep.resume_backfill({run})");
        refused(&mut client, &resume, "42P01", "no longer exists")?;
        client.batch_execute(&cancel)?;
        assert_eq!(progress(&mut client, run, "status")?, "cancelled");
        become_role(&mut client, &owner)?;
        client.batch_execute(
            "create table counted (id bigint primary key, n integer); insert into counted select generate_series(1, 300), 0",
        )?;
        client.batch_execute("reset role; delete from lockstep_internal.backfill_run")?;
    }
    Ok(())
}

/// Errors may quote rows.
#[test]
fn a_run_is_not_shown_to_an_earlier_owner() -> Result<()> {
    let name = "backfill_left_owner";
    let mut client = owned(name)?;
    let [owner, next] = ["owner", "next"].map(|role| format!("{name}_{role}"));
    become_role(&mut client, &owner)?;
    client.batch_execute(REGISTER)?;
    let run = start(&mut client, "count", 1, SLOW)?;
    client.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    client.batch_execute(&format!(
        "reset role; alter table counted owner to {next}; set role {next};
         select lockstep.resume_backfill({run}); select lockstep.pause_backfill({run})"
    ))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    client.batch_execute("drop table counted")?;
    assert_eq!(number(&mut client, RUNS)?, 1);
    become_role(&mut client, &owner)?;
    assert_eq!(number(&mut client, RUNS)?, 0);
    refused(
        &mut client,
        &format!("select lockstep.cancel_backfill({run})"),
        "42501",
        "must have the rights",
    )?;
    Ok(())
}
