//! pg_dump and pg_restore: definitions and triggers are included, and the restored database is maintained from its first write
//! on.

mod held;
mod owner;

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::database::{self, cluster};
use crate::surface::refusal::error_of;

/// What must be equal in the restored database: definitions and their state, triggers and their state, and the values.
const KEPT: &str = "
select jsonb_pretty(jsonb_build_object(
  'definitions', (select jsonb_agg(to_jsonb(c) || jsonb_build_object('disabled', d.disabled_triggers, 'always', d.always_triggers) order by c.id)
                  from lockstep.cache_columns c join lockstep_internal.cache_column_definition d using (id)),
  'jobs', (select jsonb_agg(b) from lockstep.backfill_job b),
  'triggers', (select jsonb_agg(jsonb_build_array(t.tgrelid::regclass, t.tgenabled, pg_get_triggerdef(t.oid), exists (
                         select from pg_depend p where p.objid = t.oid and p.classid = 'pg_trigger'::regclass and p.deptype = 'x'))
                       order by t.tgrelid::regclass::text, t.tgname)
               from pg_trigger t where not t.tgisinternal),
  'values', (select jsonb_agg(jsonb_build_array(p.id, p.has_external_wiki, p.has_external_issue_tracker, p.has_chat) order by p.id)
             from projects p)))";

const DRIFT: &str = "select count(*) from lockstep.cache_columns c, lockstep.cache_column_drift(c.target_table, c.target_column)";

/// A database with application triggers disabled by attach, a definition with every option, and some rows.
fn source(name: &str) -> Result<Client> {
    let mut client = database::with_slack(name, Layout::Narrow)?;
    host::run(&mut client, host::APPLICATION_TRIGGERS)?;
    client.batch_execute(
        "alter table projects add column has_chat boolean;
         alter table integrations enable always trigger trigger_has_external_wiki_on_update;
         select * from lockstep.attach(disable_application_triggers => true); select * from lockstep.attach_slack();
         select lockstep.add_cache_column('projects', 'has_chat', 'integrations', 'project_id', '{\"active\": true, \"category\": \"chat\"}',
                                          guard => true, fire_always => true);
         select lockstep.register_backfill_job('rename', 'projects', 'update projects set name = ''n'' || id where {range}');
         insert into projects (id, namespace_id) select generate_series(1, 9), 1;
         insert into integrations (project_id, active, category, type_new)
           select n, n % 2 = 0, case n % 3 when 0 then 'issue_tracker' when 1 then 'chat' else 'common' end,
                  case n % 3 when 2 then 'Integrations::ExternalWiki' else 'Integrations::Kind' || n end
           from generate_series(1, 9) n",
    )?;
    Ok(client)
}

fn kept(client: &mut Client) -> Result<String> {
    Ok(client.query_one(KEPT, &[])?.get(0))
}

pub(crate) fn dump(arguments: &[&str], database: &str) -> Result<Vec<u8>> {
    let output = cluster()?
        .client_program("pg_dump")
        .args(arguments)
        .arg(database)
        .output()
        .context("cannot run pg_dump")?;
    ensure!(
        output.status.success(),
        "pg_dump: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// Feeds a dump to `psql` or `pg_restore`, which must accept it without any message.
pub(crate) fn restore(
    program: &str,
    arguments: &[&str],
    database: &str,
    dump: &[u8],
) -> Result<()> {
    let mut restoring = cluster()?
        .client_program(program)
        .args(arguments)
        .args(["--dbname", database])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    let mut input = restoring.stdin.take().context("no input")?;
    // A program that gives up stops reading; its output says why.
    let fed = input.write_all(dump);
    drop(input);
    let output = restoring.wait_with_output()?;
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success() && complaints.is_empty(),
        "{program}: {complaints}"
    );
    fed.context("the dump was not read to its end")
}

pub(crate) const PSQL: [&str; 4] = ["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"];

/// The restored database equals the old one, and everything continues to work.
fn check_restored(client: &mut Client, before: &str) -> Result<()> {
    assert_eq!(kept(client)?, before);
    assert_eq!(client.query_one(DRIFT, &[])?.get::<_, i64>(0), 0);
    client.batch_execute(
        "update integrations set active = not active;
         update integrations set project_id = 1 + project_id % 9 where type_new ~ 'Kind';
         update projects set has_chat = not has_chat;
         insert into projects (id, namespace_id) values (10, 1);
         set session_replication_role = replica;
         insert into integrations (project_id, active, category) values (10, true, 'chat');
         reset session_replication_role;
         delete from integrations where project_id = 4",
    )?;
    assert_eq!(client.query_one(DRIFT, &[])?.get::<_, i64>(0), 0);
    // A new definition gets a new number: the sequence was dumped.
    client.batch_execute("alter table projects add column has_any boolean")?;
    let row = client.query_one(
        "select lockstep.add_cache_column('projects', 'has_any', 'integrations', 'project_id', '{\"active\": true}')
                = (select max(id) + 1 from lockstep_internal.cache_column_definition where target_column <> 'has_any')",
        &[],
    )?;
    assert!(row.get::<_, bool>(0));
    client.batch_execute("call lockstep.backfill('rename')")?;
    let renamed = "select count(*) from projects where name is distinct from 'n' || id";
    assert_eq!(client.query_one(renamed, &[])?.get::<_, i64>(0), 0);
    // detach still knows what attach disabled.
    client
        .batch_execute("select * from lockstep.detach(); select * from lockstep.detach_slack()")?;
    let row = client.query_one(
        "select count(*) filter (where tgenabled = 'O'), count(*) filter (where tgenabled = 'A')
           from pg_trigger where tgname ~ '^trigger_has_external'",
        &[],
    )?;
    assert_eq!((row.get(0), row.get(1)), (6_i64, 1_i64));
    Ok(())
}

#[test]
fn plain_dump_restored_by_psql() -> Result<()> {
    let before = kept(&mut source("dump_plain")?)?;
    let dumped = dump(&[], "dump_plain")?;
    let mut restored = database::empty("dump_plain_restored")?;
    restore("psql", &PSQL, "dump_plain_restored", &dumped)?;
    check_restored(&mut restored, &before)
}

#[test]
fn custom_dump_restored_by_pg_restore() -> Result<()> {
    let before = kept(&mut source("dump_custom")?)?;
    let dumped = dump(&["--format", "custom"], "dump_custom")?;
    let mut restored = database::empty("dump_custom_restored")?;
    restore(
        "pg_restore",
        &["--exit-on-error"],
        "dump_custom_restored",
        &dumped,
    )?;
    check_restored(&mut restored, &before)
}

/// A dump made as inserts, restored in one transaction.
#[test]
fn dump_as_inserts_restored_in_one_transaction() -> Result<()> {
    let before = kept(&mut source("dump_inserts")?)?;
    let dumped = dump(&["--inserts"], "dump_inserts")?;
    let mut restored = database::empty("dump_inserts_restored")?;
    let arguments = [&PSQL[..], &["--single-transaction"]].concat();
    restore("psql", &arguments, "dump_inserts_restored", &dumped)?;
    check_restored(&mut restored, &before)
}

/// The schema first, then the data, with every trigger active. In between there are triggers without definitions: a write that
/// concerns one is refused, so that no wrong value can arise.
#[test]
fn schema_first_and_data_later() -> Result<()> {
    let before = kept(&mut source("dump_parts")?)?;
    let schema = dump(&["--schema-only"], "dump_parts")?;
    let data = dump(&["--data-only"], "dump_parts");
    let mut restored = database::empty("dump_parts_restored")?;
    restore("psql", &PSQL, "dump_parts_restored", &schema)?;
    let row = restored.query_one(
        "select (select count(*) from lockstep.cache_columns), (select count(*) from pg_trigger where tgname ~ '^lockstep_')",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 0);
    assert!(row.get::<_, i64>(1) > 0);
    let error = error_of(
        &mut restored,
        "insert into organizations (id, path) values (7, 'o'); insert into namespaces (id, name, path, organization_id) values (7, 'n', 'n', 7);
         insert into projects (id, namespace_id) values (7, 7)",
    )?;
    assert_eq!(error.code().code(), "55000", "{error:?}");
    restore("psql", &PSQL, "dump_parts_restored", &data?)?;
    check_restored(&mut restored, &before)
}

/// Triggers are restored and definitions are not, as when the owner restores but may not write lockstep's tables: attach and
/// detach repair this, and the application's own triggers that were disabled are enabled again.
#[test]
fn triggers_without_definitions_are_healed() -> Result<()> {
    source("dump_lost")?;
    let schema = dump(&["--schema-only"], "dump_lost")?;
    let ours = "select count(*) from pg_trigger t join pg_proc p on p.oid = t.tgfoid
                 where p.pronamespace = 'lockstep_internal'::regnamespace and t.tgrelid in ('projects'::regclass, 'integrations'::regclass)";
    let disabled = "select count(*) from pg_trigger where tgname ~ '^trigger_has_external' and tgenabled = 'D'";
    let write = "insert into organizations (id, path) values (7, 'o'); insert into namespaces (id, name, path, organization_id) values (7, 'n', 'n', 7);
                 insert into projects (id, namespace_id) values (7, 7);
                 insert into integrations (project_id, active, category) values (7, true, 'issue_tracker')";
    for (database, heal) in [
        (
            "dump_lost_attach",
            "select lockstep.attach(); select lockstep.attach_slack()",
        ),
        (
            "dump_lost_detach",
            "select lockstep.detach(); select lockstep.detach_slack()",
        ),
    ] {
        let mut restored = database::empty(database)?;
        restore("psql", &PSQL, database, &schema)?;
        let error = error_of(&mut restored, write)?;
        assert_eq!(error.code().code(), "55000", "{error:?}");
        assert_eq!(restored.query_one(disabled, &[])?.get::<_, i64>(0), 7);
        restored.batch_execute(heal)?;
        restored.batch_execute(write)?;
        let row = restored.query_one("select has_external_issue_tracker from projects", &[])?;
        assert!(row.get::<_, bool>(0), "{heal}");
        let active = "select count(*) filter (where state = 'active') = count(*) from lockstep.cache_columns";
        assert!(restored.query_one(active, &[])?.get::<_, bool>(0));
        restored.batch_execute("select lockstep.detach(); select lockstep.detach_slack()")?;
        assert_eq!(restored.query_one(ours, &[])?.get::<_, i64>(0), 0, "{heal}");
        assert_eq!(restored.query_one(disabled, &[])?.get::<_, i64>(0), 0);
    }
    Ok(())
}

/// `--disable-triggers` disables all triggers of a table and enables them afterwards, whatever they were before: the
/// application's triggers are enabled again, and always-firing ones fire normally. attach, called again, notices both.
#[test]
fn data_restored_with_triggers_disabled() -> Result<()> {
    let before = kept(&mut source("dump_disabled")?)?;
    let schema = dump(&["--schema-only"], "dump_disabled")?;
    let data = dump(&["--data-only", "--disable-triggers"], "dump_disabled")?;
    let mut restored = database::empty("dump_disabled_restored")?;
    restore("psql", &PSQL, "dump_disabled_restored", &schema)?;
    restore("psql", &PSQL, "dump_disabled_restored", &data)?;
    assert_eq!(restored.query_one(DRIFT, &[])?.get::<_, i64>(0), 0);
    let row = restored.query_one(
        "select state from lockstep.cache_columns where fire_always",
        &[],
    )?;
    assert_ne!(row.get::<_, String>(0), "active", "it fires always no more");
    restored.batch_execute(
        "select * from lockstep.attach(disable_application_triggers => true); select * from lockstep.attach_slack();
         select lockstep.remove_cache_column('projects', 'has_chat');
         select lockstep.add_cache_column('projects', 'has_chat', 'integrations', 'project_id', '{\"active\": true, \"category\": \"chat\"}',
                                          guard => true, fire_always => true)",
    )?;
    let row = restored.query_one(
        "select count(*) from pg_trigger where tgname ~ '^trigger_has_external' and tgenabled = 'D'",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 7, "attach disables them again");
    assert_eq!(
        values_of(&kept(&mut restored)?),
        values_of(&before),
        "the values are those of the dump"
    );
    Ok(())
}

fn values_of(kept: &str) -> Option<&str> {
    let (_, values) = kept.split_once("\"values\"")?;
    // jsonb orders its keys by length, so the triggers come last; they have new numbers.
    values.split_once("\"triggers\"").map(|(values, _)| values)
}

/// Restored with the original owners; and with a single owner, whoever restores it.
#[test]
fn restored_to_other_owners() -> Result<()> {
    let mut client = source("dump_owners")?;
    client.batch_execute(
        "create role dump_owner; create role dump_writer;
         alter table projects owner to dump_owner;
         alter table integrations owner to dump_owner;
         grant select, insert, update, delete on integrations to dump_writer;
         grant usage on sequence integrations_id_seq to dump_writer",
    )?;
    let before = kept(&mut client)?;
    let dumped = dump(&["--format", "custom"], "dump_owners")?;
    for (database, arguments) in [
        ("dump_owners_same", &["--exit-on-error"][..]),
        ("dump_owners_none", &["--exit-on-error", "--no-owner"][..]),
    ] {
        let mut restored = database::empty(database)?;
        restore("pg_restore", arguments, database, &dumped)?;
        restored.batch_execute(
            "set role dump_writer;
             update integrations set active = not active;
             update integrations set active = not active;
             reset role",
        )?;
        check_restored(&mut restored, &before).context(database)?;
    }
    Ok(())
}

/// Waiting and running jobs, flags and their audit, and names: nothing may be lost.
#[test]
fn jobs_and_flags_come_along() -> Result<()> {
    let mut client = database::empty("dump_jobs")?;
    client.batch_execute(
        "create extension lockstep_slack cascade;
         select * from lockstep.attach(); select * from lockstep.attach_slack();
         select lockstep.set_feature_percentage('f', 12.5); select lockstep.define_feature('g', true, 'ops');
         select lockstep.define_worker('A', 2); select lockstep.define_worker('IrkerWorker', 7);
         select lockstep.rename_worker('A', 'B', 'f');
         select lockstep.set_feature('rename_integrations_workers', true); select lockstep.retire_worker('ProjectServiceWorker');
         select lockstep.enqueue_job('A', '[1]', unique_key => 'k'); select lockstep.enqueue_job('A', run_at => 'tomorrow');
         select lockstep.start_runner('gone', '1 second'); select count(*) from lockstep.claim_jobs(1, '{A}')",
    )?;
    let kept = "select jsonb_build_object(
        'jobs', (select jsonb_agg(j order by j.id) from lockstep_internal.job j), 'runners', (select jsonb_agg(r) from lockstep_internal.job_runner r),
        'workers', (select jsonb_agg(w order by w.name) from lockstep_internal.worker w),
        'renames', (select jsonb_agg(r order by r.old_name) from lockstep_internal.worker_rename r),
        'retired', (select jsonb_agg(r) from lockstep_internal.retired_worker r),
        'flags', (select jsonb_agg(f order by f.name) from lockstep.features f),
        'audit', (select jsonb_agg(to_jsonb(a) - 'recorded_by' order by a.id) from lockstep.feature_audit a))::text";
    let before: String = client.query_one(kept, &[])?.get(0);
    let dumped = dump(&[], "dump_jobs")?;
    let mut restored = database::empty("dump_jobs_restored")?;
    restore("psql", &PSQL, "dump_jobs_restored", &dumped)?;
    let after: String = restored.query_one(kept, &[])?.get(0);
    assert_eq!(after, before);
    // Numbers continue, the missing runner is given up, and changes are audited.
    restored.batch_execute(
        "select lockstep.release_restored(); select pg_sleep(1.1); select lockstep.start_runner('here')",
    )?;
    let job = restored.query_one("select job from lockstep.claim_jobs(2, '{A}')", &[])?;
    assert_eq!(job.get::<_, i64>(0), 1);
    let next = restored.query_one("select lockstep.enqueue_job('ProjectServiceWorker')", &[])?;
    assert_eq!(next.get::<_, i64>(0), 3);
    restored.batch_execute("select lockstep.set_feature('f', false)")?;
    let count = "select count(*) from lockstep.feature_audit";
    let [recorded, former] = [
        restored.query_one(count, &[])?.get::<_, i64>(0),
        client.query_one(count, &[])?.get::<_, i64>(0),
    ];
    assert_eq!(recorded, former + 1);
    Ok(())
}
