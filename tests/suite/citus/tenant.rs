//! A schema that Citus distributes: every way to write keeps its cache columns right, on every node.

use std::io::Write;
use std::thread;

use anyhow::{Result, ensure};
use postgres::Client;

use super::{Citus, answers, start, wait_until};

const WIKI: &str = "'Integrations::ExternalWiki', 'common'";
const JIRA: &str = "'Integrations::Jira', 'issue_tracker'";
const BUGZILLA: &str = "'Integrations::Bugzilla', 'issue_tracker'";

/// How many cache columns are true after these statements of one session.
fn write(citus: &mut Citus, client: &mut Client, statements: &str) -> Result<i64> {
    client.batch_execute(statements)?;
    citus.check("tenant", statements)
}

#[test]
fn every_way_to_write_keeps_a_distributed_schema_right_on_every_node() -> Result<()> {
    let Some(mut citus) = start("citus_tenant", 2)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    assert_eq!(citus.states()?, ["active", "active"]);
    for node in 0..3 {
        let mut client = citus.session(node)?;
        client.batch_execute("set search_path = tenant; delete from integrations")?;
        let add = |projects: &str, kind: &str| {
            format!(
                "insert into integrations (project_id, type_new, category, active) select n, {kind}, true from generate_series({projects}) n"
            )
        };
        for (statements, are_true) in [
            (add("1, 10", WIKI), 10),
            (add("6, 15", JIRA), 20),
            (add("6, 10", BUGZILLA), 20),
            ("update integrations set active = false where project_id = 1".to_owned(), 19),
            ("update integrations set active = active, updated_at = now()".to_owned(), 19),
            ("update integrations set project_id = 20 where project_id = 2".to_owned(), 19),
            ("update integrations set type_new = 'Integrations::Slack' where project_id = 20".to_owned(), 18),
            ("delete from integrations where type_new = 'Integrations::Jira' and project_id < 12".to_owned(), 17),
            (
                "insert into integrations (project_id, type_new, active) values (1, 'Integrations::ExternalWiki', true)
                 on conflict (project_id, type_new) do update set active = excluded.active"
                    .to_owned(),
                18,
            ),
            (
                "with gone as (delete from integrations where project_id = 1 returning type_new)
                 insert into integrations (project_id, type_new, active) select 19, type_new, true from gone"
                    .to_owned(),
                18,
            ),
            ("begin; delete from integrations; rollback".to_owned(), 18),
            (
                "begin; savepoint one; delete from integrations; rollback to one;
                 update integrations set active = false where project_id = 19; commit"
                    .to_owned(),
                17,
            ),
            (
                "begin isolation level repeatable read; update integrations set active = true where project_id = 19; commit".to_owned(),
                18,
            ),
            ("update projects set has_external_wiki = not has_external_wiki, has_external_issue_tracker = null".to_owned(), 18),
            ("insert into projects (id, namespace_id, has_external_wiki) values (21, 1, true)".to_owned(), 18),
            ("update projects set id = 22 where id = 21".to_owned(), 18),
            ("delete from projects where id = 19; insert into projects (id, namespace_id) values (19, 1)".to_owned(), 17),
        ] {
            let found = write(&mut citus, &mut client, &statements)?;
            ensure!(found == are_true, "node {node}: {found} after {statements}");
        }
        let mut copy = client
            .copy_in("copy integrations (project_id, type_new, category, active) from stdin")?;
        copy.write_all(b"18\tIntegrations::ExternalWiki\tcommon\tt\n19\tIntegrations::ExternalWiki\tcommon\tf\n")?;
        copy.finish()?;
        assert_eq!(citus.check("tenant", "copy")?, 18);
        assert_eq!(
            write(
                &mut citus,
                &mut client,
                "begin; truncate integrations cascade; rollback"
            )?,
            18
        );
        assert_eq!(
            write(&mut citus, &mut client, "truncate integrations cascade")?,
            0
        );
        write(
            &mut citus,
            &mut client,
            "delete from projects where id > 20",
        )?;
    }
    Ok(())
}

#[test]
fn two_sessions_on_different_nodes_wait_for_each_other() -> Result<()> {
    let Some(mut citus) = start("citus_sessions", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    for isolation in ["read committed", "repeatable read"] {
        citus.coordinator.batch_execute(&format!(
            "delete from tenant.integrations;
             insert into tenant.integrations (project_id, type_new, category, active) values (1, {JIRA}, true), (1, {BUGZILLA}, true)"
        ))?;
        let (mut one, mut other) = (citus.session(0)?, citus.session(1)?);
        one.batch_execute(
            "begin; delete from tenant.integrations where type_new = 'Integrations::Jira'",
        )?;
        other.batch_execute(&format!(
            "begin isolation level {isolation}; select from tenant.projects"
        ))?;
        let deleting = thread::spawn(move || {
            other.batch_execute(
                "delete from tenant.integrations where type_new = 'Integrations::Bugzilla'; commit",
            )
        });
        wait_until(
            &mut citus.workers[0],
            "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'Bugzilla'",
        )?;
        one.batch_execute("commit")?;
        let deleted = deleting
            .join()
            .map_err(|_| anyhow::anyhow!("the thread failed"))?;
        // Citus may run the other transaction's part on the worker with the isolation of its choice.
        ensure!(
            deleted.is_ok() || isolation == "repeatable read",
            "{deleted:?}"
        );
        let are_true = citus.check("tenant", isolation)?;
        assert_eq!(are_true, i64::from(deleted.is_err()));
    }
    Ok(())
}

#[test]
fn old_rows_are_counted_repaired_and_backfilled_from_the_coordinator() -> Result<()> {
    let Some(mut citus) = start("citus_old_rows", 1)? else {
        return Ok(());
    };
    citus.create_tenant("tenant")?;
    let client = &mut citus.coordinator;
    client.batch_execute(&format!(
        "insert into tenant.integrations (project_id, type_new, category, active) select n, {WIKI}, true from generate_series(1, 8) n;
         update tenant.projects set has_external_wiki = true where id in (1, 20)"
    ))?;
    let plan = answers(client, "lockstep.attach('tenant', dry_run => true)")?;
    ensure!(
        plan.iter().any(|it| it.contains("has_external_wiki: would attach")
            && it.ends_with("select count(*) from lockstep.cache_column_drift('tenant.projects', 'has_external_wiki')")),
        "{plan:?}"
    );
    client.batch_execute("do $$begin perform lockstep.attach('tenant'); end$$")?;
    let drift = |client: &mut Client| -> Result<i64> {
        let count = "select count(*) from lockstep.cache_column_drift('tenant.projects', 'has_external_wiki')";
        Ok(client.query_one(count, &[])?.get(0))
    };
    assert_eq!(drift(client)?, 19);
    let repair = "select lockstep.repair_cache_column('tenant.projects', 'has_external_wiki', 3)";
    assert_eq!(client.query_one(repair, &[])?.get::<_, i64>(0), 3);
    assert_eq!(drift(client)?, 16);
    client.batch_execute("call lockstep.backfill('cache_columns', 'tenant.projects')")?;
    assert_eq!(drift(client)?, 0);
    assert_eq!(citus.check("tenant", "backfill")?, 8);
    Ok(())
}
