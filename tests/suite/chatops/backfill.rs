//! Backfill runs, viewed and controlled from Slack.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;

use crate::chatops::Room;
use crate::concurrency::PATIENCE;
use crate::service_account::number;

/// A run that a DBA started, held for a reason, is paused, resumed and cancelled.
#[test]
fn backfills_are_controlled() -> Result<()> {
    let mut room = Room::set("chatops_backfill")?;
    let said = room.say("run backfill list")?;
    assert_eq!(said, "*production*: no run");
    let said = room.say("run backfill pause 7")?;
    ensure!(
        said.contains(":x: production: nothing was changed: backfill run 7 does not exist"),
        "{said}"
    );
    let said = room.say("run backfill start no_such_job")?;
    ensure!(
        said.contains(":x: production: nothing was changed: "),
        "{said}"
    );
    let run: i64 = room
        .stage
        .client
        .query_one(
            "select lockstep_internal.open_backfill('cache_columns', 'projects')",
            &[],
        )?
        .get(0);
    let said = room.say("run backfill list --production")?;
    ensure!(
        said.contains(&format!(
            "*production*\n• run {run} of cache_columns on public.projects: running, "
        )),
        "{said}"
    );
    let said = room.say(&format!("run backfill pause {run}"))?;
    ensure!(
        said.starts_with(&format!("@ada: `/chatops run backfill pause {run}`\n• production: run {run} of cache_columns on public.projects: paused, ")),
        "{said}"
    );
    let said = room.say(&format!("run backfill pause {run}"))?;
    ensure!(
        said.contains(":x: production: nothing was changed: backfill run"),
        "{said}"
    );
    let said = room.say(&format!("run backfill status {run}"))?;
    ensure!(
        said.contains(": paused, ") && said.contains("0 rows read, 0 updated, 0 ranges set aside"),
        "{said}"
    );
    // It belongs to a DBA, whose rights chatops does not have.
    let said = room.say(&format!("run backfill resume {run}"))?;
    ensure!(
        said.contains(
            ":x: production: nothing was changed: the role of chatops may not do that there"
        ),
        "{said}"
    );
    let said = room.say(&format!("run backfill cancel {run}"))?;
    ensure!(said.contains(": cancelled"), "{said}");
    let said = room.say(&format!("run backfill retry {run}"))?;
    ensure!(
        said.contains(":x: production: nothing was changed: "),
        "{said}"
    );
    let said = room.say("run backfill status 99")?;
    assert_eq!(said, "*production*: there is no run 99");
    // From another channel, production cannot be changed.
    let said = room.give(
        &room.origin(&room.ada, &room.general),
        "run backfill cancel 1",
    )?;
    ensure!(
        said.text.starts_with(
            ":no_entry: Nothing was changed: production can only be changed in #production"
        ),
        "{}",
        said.text
    );
    Ok(())
}

/// Runs of a role that chatops is a member of are started, paused, resumed, retried and cancelled from Slack.
#[test]
fn backfills_are_run_from_start_to_end() -> Result<()> {
    let mut room = Room::set("chatops_backfill_run")?;
    room.staging.batch_execute(
        "create table counted (id bigint primary key, n bigint not null default 0);
         insert into counted (id) select generate_series(1, 40);
         create table gate (is_open boolean not null, divisor bigint not null);
         insert into gate values (false, 0);
         create function behind_gate() returns bigint language plpgsql as $$
         begin
           while exists (select from gate g where not g.is_open) loop perform pg_sleep(0.01); end loop;
           return (select 1 / g.divisor from gate g);
         end $$;
         create role chatops_counter nologin in role lockstep_chatops; grant chatops_counter to chatops;
         alter table counted owner to chatops_counter;
         grant select on gate to chatops_counter;
         set role chatops_counter;
         select lockstep.register_backfill_job('count', 'counted', 'update counted set n = behind_gate() where {range}');
         reset role",
    )?;
    let said = |room: &Room, command: &str| -> Result<String> {
        let said = room.say(&format!("run backfill {command} --staging"))?;
        let headline = format!("@ada: `/chatops run backfill {command} --staging`\n• staging: ");
        Ok(said.strip_prefix(&headline).unwrap_or(&said).to_owned())
    };
    let wait = |room: &Room, expected: &str| -> Result<()> {
        let begun = Instant::now();
        loop {
            let said = room.say("run backfill list --staging")?;
            if said == format!("*staging*\n• {expected}") {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{said}");
            sleep(Duration::from_millis(50));
        }
    };
    // A worker stops at the gate until it is opened.
    assert_eq!(
        said(&room, "start count --workers 2")?,
        "run 1 of count on public.counted: running, 0 %"
    );
    assert_eq!(
        said(&room, "start count")?,
        "@ada: `/chatops run backfill start count --staging`\n:x: staging: nothing was changed: table \"public.counted\" already has backfill run 1, which is running. A table can have one run at a time, so that runs do not wait for each other's rows."
    );
    assert_eq!(
        said(&room, "pause 1")?,
        "run 1 of count on public.counted: paused, 0 %"
    );
    assert_eq!(
        said(&room, "resume 1")?,
        "run 1 of count on public.counted: running, 0 %"
    );
    let gate = |client: &mut Client, is_open: bool, divisor: i64| {
        let change = "update gate set is_open = $1, divisor = $2";
        client.execute(change, &[&is_open, &divisor])
    };
    // It fails at every row.
    gate(&mut room.staging, true, 0)?;
    wait(
        &room,
        "run 1 of count on public.counted: failed, 0 %, last error: division by zero",
    )?;
    gate(&mut room.staging, false, 1)?;
    assert_eq!(
        said(&room, "retry 1")?,
        "run 1 of count on public.counted: running, 0 %, last error: division by zero"
    );
    gate(&mut room.staging, true, 1)?;
    wait(&room, "run 1 of count on public.counted: finished, 100 %")?;
    gate(&mut room.staging, false, 1)?;
    // The refused one has used up a number.
    assert_eq!(
        said(&room, "start count")?,
        "run 3 of count on public.counted: running, 0 %"
    );
    assert_eq!(
        said(&room, "cancel 3")?,
        "run 3 of count on public.counted: cancelled, 0 %"
    );
    gate(&mut room.staging, true, 1)?;
    let done = "select count(*) from lockstep.chatops_command where command ~ 'run backfill'";
    assert_eq!(number(&mut room.staging, done)?, 6);
    Ok(())
}

/// Active runs are listed first, and those not shown are counted.
#[test]
fn runs_that_are_not_shown_are_counted() -> Result<()> {
    let mut room = Room::set("chatops_backfill_many")?;
    room.staging.batch_execute(
        "do $$begin
           perform lockstep_internal.open_backfill('cache_columns', 'projects');
           for n in 1 .. 33 loop
             insert into lockstep_internal.backfill_run overriding system value select (jsonb_populate_record(r, jsonb_build_object('id', 100 + n, 'status', 'cancelled'))).*
               from lockstep_internal.backfill_run r where r.status = 'running';
           end loop;
         end$$",
    )?;
    let said = room.say("run backfill list --staging")?;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 32, "{said}");
    ensure!(
        lines[1].starts_with("• run 1 of cache_columns on public.projects: running")
            && lines[2].starts_with("• run 133 of ")
            && lines[30].starts_with("• run 105 of "),
        "{said}"
    );
    assert_eq!(lines[31], "… and 4 earlier");
    Ok(())
}
