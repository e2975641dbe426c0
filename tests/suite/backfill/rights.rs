//! Who may run what, and with whose rights it runs.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::backfill::{SLOW, counted, finish, progress, times, wait_until};
use crate::database::{self, cluster};
use crate::service_account::number;
use crate::surface::refusal::{error_of, refused};

#[test]
fn runs_are_for_owners() -> Result<()> {
    let name = "backfill_owners";
    let mut client = counted(name, 1_000)?;
    client.batch_execute(&format!(
        "create role {name}_owner; create role {name}_other login; alter table counted owner to {name}_owner;
         grant select, update on counted to {name}_other"
    ))?;
    let run = crate::backfill::start(&mut client, "count", 1, SLOW)?;
    let mut other = cluster()?.connect(name)?;
    other.batch_execute(&format!("set role {name}_other"))?;
    for function in [
        "lockstep.pause_backfill",
        "lockstep.resume_backfill",
        "lockstep.cancel_backfill",
        "lockstep.retry_backfill",
        "lockstep.alter_backfill",
        "lockstep_internal.backfill_step",
        "lockstep_internal.report_backfill",
    ] {
        refused(
            &mut other,
            &format!("select {function}({run})"),
            "42501",
            "must have the rights",
        )?;
    }
    refused(
        &mut other,
        &format!("call lockstep_internal.wait_for_backfill({run}, 1)"),
        "42501",
        "must have the rights",
    )?;
    refused(
        &mut other,
        "select lockstep.start_backfill('count')",
        "42501",
        "must have the rights",
    )?;
    refused(
        &mut other,
        "select lockstep.unregister_backfill_job('count')",
        "42501",
        "must have the rights",
    )?;
    let register = "select lockstep.register_backfill_job('j', 'counted', 'update counted set n = 1 where {range}')";
    refused(&mut other, register, "42501", "must be owner")?;
    for table in [
        "lockstep_internal.backfill_run",
        "lockstep_internal.backfill_range",
    ] {
        assert_eq!(
            error_of(&mut other, &format!("select from {table}"))?
                .code()
                .code(),
            "42501"
        );
        assert_eq!(
            error_of(&mut other, &format!("delete from {table}"))?
                .code()
                .code(),
            "42501"
        );
    }
    assert_eq!(
        error_of(&mut other, "delete from lockstep.backfill_job")?
            .code()
            .code(),
        "42501"
    );
    // Nor can they see it, because errors can quote rows.
    assert_eq!(
        number(
            &mut other,
            "select count(*) from lockstep.backfill_progress"
        )?,
        0
    );
    other.batch_execute("reset role")?;
    client.batch_execute(&format!("grant pg_monitor to {name}_other"))?;
    other.batch_execute(&format!("set role {name}_other"))?;
    assert_eq!(
        number(
            &mut other,
            "select count(*) from lockstep.backfill_progress"
        )?,
        1
    );
    finish(&mut client, run, 1_000)
}

#[test]
fn an_owner_that_cannot_log_in_needs_nothing_else() -> Result<()> {
    let name = "backfill_role";
    let mut client = database::empty(name)?;
    client.batch_execute(&format!(
        "create extension lockstep; create role {name}_owner nologin; create role {name}_member login in role {name}_owner;
         create schema app authorization {name}_owner"
    ))?;
    let mut session = cluster()?
        .config(name)
        .user(&format!("{name}_member"))
        .connect(postgres::NoTls)?;
    session.batch_execute(&format!("set role {name}_owner; set search_path = app"))?;
    session.batch_execute(
        "create table counted (id bigint primary key, n integer not null default 0);
         insert into counted select generate_series(1, 500);
         create table written_by (role text);
         create function note() returns trigger language plpgsql as $$begin insert into app.written_by values (current_user || ' ' || session_user); return null; end$$;
         create trigger note after update on counted for each statement execute function note();
         select lockstep.register_backfill_job('count', 'counted', 'update counted set n = n + 1 where {range}')",
    )?;
    let run = crate::backfill::start(&mut session, "count", 2, SLOW)?;
    finish(&mut session, run, 500)?;
    let roles =
        format!("select count(*) from written_by where role <> '{name}_owner {name}_owner'");
    assert_eq!(number(&mut session, &roles)?, 0);
    assert_eq!(times(&mut session, "counted")?, BTreeMap::from([(1, 500)]));
    // Whoever starts it, even through a function with the owner's rights, it belongs to the owner.
    client.batch_execute(&format!(
        "create function app.begin_it() returns bigint language sql security definer as $$select lockstep.start_backfill('count')$$;
         alter function app.begin_it owner to {name}_owner; grant usage on schema app to public; create role {name}_third login"
    ))?;
    let mut third = cluster()?
        .config(name)
        .user(&format!("{name}_third"))
        .connect(postgres::NoTls)?;
    let run = third.query_one("select app.begin_it()", &[])?.get(0);
    finish(&mut client, run, 500)?;
    assert_eq!(number(&mut session, &roles)?, 0);
    assert_eq!(times(&mut session, "counted")?, BTreeMap::from([(2, 500)]));
    Ok(())
}

#[test]
fn a_job_has_no_more_rights_than_who_registered_it() -> Result<()> {
    let name = "backfill_trojan";
    let mut client = database::empty(name)?;
    client.batch_execute(&format!(
        "create extension lockstep; create role {name}_low; create schema low authorization {name}_low;
         create table secret (id bigint); insert into secret values (42);
         set role {name}_low; set search_path = low;
         create table counted (id bigint primary key, n integer not null default 0); insert into counted values (1), (2);
         create table tried (role text, how text);
         create function steal() returns integer language plpgsql as $$
           begin
             insert into low.tried values (current_user, 'called');
             begin execute 'reset role'; insert into low.tried values (current_user, 'reset role');
             exception when others then null; end;
             begin execute 'set session authorization postgres'; insert into low.tried values (current_user, 'authorization');
             exception when others then null; end;
             begin perform * from public.secret; insert into low.tried values (current_user, 'read');
             exception when others then null; end;
             return 1;
           end $$;
         select lockstep.register_backfill_job('trojan', 'counted', 'update counted set n = n + steal() where {{range}}');
         reset role; reset search_path"
    ))?;
    client.batch_execute("call lockstep.backfill('trojan')")?;
    let run = crate::backfill::start(&mut client, "trojan", 1, "{}")?;
    wait_until(&mut client, run, "status <> 'running'")?;
    assert_eq!(progress(&mut client, run, "status")?, "finished");
    client.batch_execute("select lockstep.backfill_batch('trojan', 1, 2)")?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from low.tried where how = 'called'"
        )?,
        6
    );
    let more =
        format!("select count(*) from low.tried where how <> 'called' or role <> '{name}_low'");
    assert_eq!(number(&mut client, &more)?, 0);
    Ok(())
}

#[test]
fn a_shadowing_search_path_changes_nothing() -> Result<()> {
    let name = "backfill_path";
    let mut client = counted(name, 300)?;
    client.batch_execute(
        "create schema evil;
         create function evil.less(bigint, bigint) returns boolean language sql as 'select false';
         create operator evil.<= (leftarg = bigint, rightarg = bigint, function = evil.less);
         create operator evil.> (leftarg = bigint, rightarg = bigint, function = evil.less);
         create function evil.count() returns bigint language sql as 'select 0::bigint';
         create table evil.counted (id bigint primary key, n integer not null default 0); insert into evil.counted values (1);
         create table evil.backfill_run (id bigint);
         set search_path = evil, lockstep, pg_catalog, public",
    )?;
    client.batch_execute("call lockstep.backfill('count')")?;
    let run = crate::backfill::start(&mut client, "count", 1, SLOW)?;
    client.batch_execute("reset search_path")?;
    finish(&mut client, run, 300)?;
    assert_eq!(
        times(&mut client, "public.counted")?,
        BTreeMap::from([(2, 300)])
    );
    assert_eq!(
        times(&mut client, "evil.counted")?,
        BTreeMap::from([(0, 1)])
    );
    Ok(())
}

#[test]
fn whoever_goes_on_with_a_run_lends_it_nothing() -> Result<()> {
    let name = "backfill_lent";
    let mut client = database::empty(name)?;
    client.batch_execute(&format!(
        "create extension lockstep; create role {name}_low login; create schema low authorization {name}_low;
         create table secret (id bigint); insert into secret values (42)"
    ))?;
    let mut low = cluster()?
        .config(name)
        .user(&format!("{name}_low"))
        .connect(postgres::NoTls)?;
    low.batch_execute(
        "set search_path = low;
         create table counted (id bigint primary key, n integer not null default 0);
         insert into counted select generate_series(1, 50);
         create table tried (how text);
         create function steal() returns integer language plpgsql as $$
           begin
             begin execute 'reset role'; exception when others then null; end;
             begin perform * from public.secret; insert into low.tried values ('read as ' || current_user);
             exception when others then null; end;
             return 1;
           end $$;
         create function ask() returns text language plpgsql as $$begin perform low.steal(); return null; end$$;
         select lockstep.register_backfill_job('count', 'counted', 'update counted set n = n + steal() where {range}')",
    )?;
    let settings =
        r#"{"sub_batch_size": 5, "target_ms": 0, "pause_ms": 300, "hold_function": "ask"}"#;
    let run = crate::backfill::start(&mut low, "count", 1, settings)?;
    low.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    // A superuser resumes it: with workers, and in the session.
    client.batch_execute(&format!("select lockstep.resume_backfill({run})"))?;
    let before = progress(&mut client, run, "scanned")?;
    wait_until(&mut client, run, &format!("scanned > {before}"))?;
    client.batch_execute(
        "select pg_terminate_backend(pid) from lockstep.backfill_progress, unnest(pids) pid",
    )?;
    wait_until(&mut client, run, "held_by like 'no worker%'")?;
    client.batch_execute("call lockstep.backfill('count', settings => '{\"pause_ms\": 0}')")?;
    finish(&mut client, run, 50)?;
    let stolen = client.query("select how from low.tried", &[])?;
    assert!(stolen.is_empty(), "{}", stolen[0].get::<_, String>(0));
    assert_eq!(
        times(&mut client, "low.counted")?,
        BTreeMap::from([(1, 50)])
    );
    Ok(())
}

/// Whatever the path of the session that registered a job, objects of the session that runs it come last.
#[test]
fn every_search_path_is_completed() -> Result<()> {
    let name = "backfill_any_path";
    let mut client = counted(name, 10)?;
    client.batch_execute(
        r#"create schema "a, pg_temp, b"; create table "a, pg_temp, b".look (n integer); insert into "a, pg_temp, b".look values (5);
           select pg_catalog.set_config('search_path', '', false);
           select lockstep.register_backfill_job('bare', 'public.counted', 'update public.counted set n = 3 where {range}');
           reset search_path"#,
    )?;
    client.batch_execute("call lockstep.backfill('bare')")?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(3, 10)]));
    client.batch_execute(
        r#"set search_path = "a, pg_temp, b", public;
           select lockstep.register_backfill_job('quoted', 'counted', 'update counted set n = (select l.n from look l) where {range}');
           reset search_path; create temp table look (n integer); insert into look values (666)"#,
    )?;
    client.batch_execute("call lockstep.backfill('quoted')")?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(5, 10)]));
    Ok(())
}
