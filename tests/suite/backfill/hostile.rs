//! A table owner's code that tries to gain other rights, wherever a run executes it.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::backfill::{finish, progress, start, times, wait_until};
use crate::database;
use crate::service_account::number;
use crate::surface::refusal::{error_of, refused};

use std::collections::BTreeMap;

const SETTINGS: &str =
    r#"{"sub_batch_size": 5, "target_ms": 0, "range_size": 20, "hold_function": "low.ask"}"#;

/// A table of 40 rows with everything that can run code; each piece records its user before and after each attempt to escape.
fn lay_out(name: &str, login: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute(&format!(
        "create extension lockstep;
         create role {name}_low {login}; create schema low authorization {name}_low;
         set role {name}_low; set search_path = low;
         create table seen (how text, who text, session text, worker boolean);
         create function note(how text) returns void language sql as
           $$insert into low.seen select how, current_user, session_user, coalesce(a.backend_type = 'lockstep backfill', false)
               from pg_stat_activity a where a.pid = pg_backend_pid()$$;
         create function attack(how text) returns boolean language plpgsql as $$
           declare
             try text;
           begin
             perform low.note(how);
             foreach try in array array['reset role', 'reset session authorization', 'set role none',
                 'set session authorization postgres', $q$select set_config('role', 'none', false)$q$,
                 $q$select set_config('role', 'postgres', false)$q$, $q$select set_config('session_authorization', 'postgres', false)$q$] loop
               begin
                 execute try;
                 perform low.note(how || ' after ' || try);
               exception when others then null;
               end;
             end loop;
             return true;
           end $$;
         create function attack_by_trigger() returns trigger language plpgsql as
           $$begin perform low.attack(tg_argv[0]); return null; end$$;
         create function ask() returns text language plpgsql as $$begin perform low.attack('hold function'); return null; end$$;
         create domain tricky as text check (low.attack('domain'));
         create table counted (id bigint primary key, n integer not null default 0, t tricky);
         insert into counted (id) select generate_series(1, 40);
         create policy hidden on counted using (low.attack('policy'));
         alter table counted enable row level security; alter table counted force row level security;
         create trigger at_row after update on counted for each row execute function attack_by_trigger('trigger');
         create constraint trigger at_commit after update on counted deferrable initially deferred for each row
           execute function attack_by_trigger('deferred trigger');
         select lockstep.register_backfill_job('count', 'counted', $$update counted set n = n + 1, t = 'x' where {{range}}$$);
         reset role; reset search_path; truncate low.seen"
    ))?;
    Ok(client)
}

/// This many kinds of code have run, in workers if stated, and none as another user.
fn check_seen(client: &mut Client, name: &str, worker: bool, kinds_run: i64) -> Result<()> {
    let kinds = format!(
        "select count(distinct how) from low.seen where worker = {worker}
            and how in ('hold function', 'domain', 'policy', 'trigger', 'deferred trigger')"
    );
    assert_eq!(number(client, &kinds)?, kinds_run);
    let wrong = client.query(
        "select distinct how || ': ' || who || ', ' || session from low.seen
          where who <> $1 or worker and session <> $1",
        &[&format!("{name}_low")],
    )?;
    ensure!(wrong.is_empty(), "{}", wrong[0].get::<_, String>(0));
    client.batch_execute("truncate low.seen")?;
    Ok(())
}

fn nobody_gets_out(name: &str, login: &str) -> Result<()> {
    let mut client = lay_out(name, login)?;
    // Run by a superuser, who has the most to lose.
    let run = start(&mut client, "count", 2, SETTINGS)?;
    finish(&mut client, run, 40)?;
    check_seen(&mut client, name, true, 5)?;

    let slow = SETTINGS.replace('{', r#"{"pause_ms": 3600000, "#);
    let run = start(&mut client, "count", 1, &slow)?;
    wait_until(&mut client, run, "scanned = 5")?;
    let others = format!(
        "select count(*) from pg_stat_activity
          where backend_type = 'lockstep backfill' and datname = current_database() and usename <> '{name}_low'"
    );
    assert_eq!(number(&mut client, &others)?, 0);
    client.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    client.batch_execute(&format!(
        r#"select lockstep.resume_backfill({run}); select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}')"#
    ))?;
    finish(&mut client, run, 40)?;
    check_seen(&mut client, name, true, 5)?;

    client.batch_execute(&format!(
        "call lockstep.backfill('count', settings => '{SETTINGS}')"
    ))?;
    check_seen(&mut client, name, false, 5)?;
    // Deferred code would run in the caller's transaction.
    let batch = "select lockstep.backfill_batch('count', 1, 40)";
    let error = error_of(&mut client, batch)?;
    assert_eq!(error.code().code(), "42501", "{error}");
    client.batch_execute(&format!("drop trigger at_commit on low.counted; {batch}"))?;
    check_seen(&mut client, name, false, 3)?;
    assert_eq!(
        times(&mut client, "low.counted")?,
        BTreeMap::from([(4, 40)])
    );
    // Nor when another user registers a job.
    client.batch_execute(
        "select lockstep.register_backfill_job('again', 'low.counted', $$update low.counted set t = 'y'::low.tricky where {range}$$)",
    )?;
    let wrong = format!("select count(*) from low.seen where who <> '{name}_low'");
    assert_eq!(number(&mut client, &wrong)?, 0);
    Ok(())
}

#[test]
fn of_an_owner_who_can_log_in() -> Result<()> {
    nobody_gets_out("backfill_hostile_login", "login")
}

#[test]
fn of_an_owner_who_cannot_log_in() -> Result<()> {
    nobody_gets_out("backfill_hostile_nologin", "nologin")
}

/// An owner who may not connect, or has no connection left, still gets workers.
#[test]
fn of_an_owner_who_may_not_connect() -> Result<()> {
    let name = "backfill_hostile_apart";
    let mut client = lay_out(name, "login")?;
    client.batch_execute(&format!(
        "revoke connect on database {name} from public; alter role {name}_low connection limit 0"
    ))?;
    let run = start(&mut client, "count", 1, SETTINGS)?;
    finish(&mut client, run, 40)?;
    check_seen(&mut client, name, true, 5)
}

/// The run belongs to the table: it changes owner with it, and is dropped with it.
#[test]
fn a_run_belongs_to_the_owner_of_the_table() -> Result<()> {
    let name = "backfill_hostile_owner";
    let mut client = lay_out(name, "nologin")?;
    client.batch_execute(&format!(
        "create role {name}_next; grant usage on schema low to {name}_next; grant all on all tables in schema low to {name}_next"
    ))?;
    let slow = SETTINGS.replace('{', r#"{"pause_ms": 3600000, "#);
    let run = start(&mut client, "count", 1, &slow)?;
    wait_until(&mut client, run, "scanned = 5")?;
    client.batch_execute(&format!(
        r#"reassign owned by {name}_low to {name}_next; drop owned by {name}_low; drop role {name}_low;
           select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}')"#
    ))?;
    wait_until(&mut client, run, "status = 'paused' and pids = '{}'")?;
    assert_eq!(
        progress(&mut client, run, "array[role::text, last_error]")?,
        format!(
            r#"{{{name}_next,"table \"low.counted\" has another owner than when its backfill started"}}"#
        )
    );
    client.batch_execute(&format!(
        "truncate low.seen; set role {name}_next; select lockstep.resume_backfill({run}); reset role"
    ))?;
    finish(&mut client, run, 40)?;
    let wrong = format!(
        "select count(*) from low.seen where who <> '{name}_next' or session <> '{name}_next'"
    );
    assert_eq!(number(&mut client, &wrong)?, 0);

    let run = start(&mut client, "count", 1, &slow)?;
    wait_until(&mut client, run, "scanned = 5")?;
    client.batch_execute(&format!(
        r#"drop table low.counted; select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}')"#
    ))?;
    wait_until(&mut client, run, "status = 'paused' and pids = '{}'")?;
    let says = format!("(last_error = 'the table of backfill run {run} no longer exists')");
    assert_eq!(progress(&mut client, run, &says)?, "true");
    let resume = format!("select lockstep.resume_backfill({run})");
    refused(&mut client, &resume, "42P01", "no longer exists")?;
    client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
    Ok(())
}
