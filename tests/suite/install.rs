//! CREATE EXTENSION in unusual environments, and what is left when roles are dropped.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};

use crate::database::{cluster, empty, with_host};
use crate::service_account::number;
use crate::surface::refusal::error_of;

/// Completely refused, with a hint how to do it.
#[test]
fn other_encodings_are_refused() -> Result<()> {
    let mut postgres = cluster()?.connect("postgres")?;
    for encoding in ["LATIN1", "EUC_JP", "SQL_ASCII", "WIN1252"] {
        let name = format!("install_{}", encoding.to_lowercase());
        postgres.batch_execute(&format!(
            "create database {name} encoding '{encoding}' locale 'C' template template0"
        ))?;
        let mut client = cluster()?.connect(&name)?;
        let error = error_of(&mut client, "create extension lockstep")?;
        assert_eq!(error.code().code(), "0A000", "{encoding}: {error}");
        ensure!(error.message().contains(encoding) && error.hint().is_some());
        // The application's objects are unchanged.
        client.batch_execute(
            "create table t (id bigint); alter table t add column \"plain\" integer",
        )?;
    }
    Ok(())
}

/// The test server has both variables in its environment.
#[test]
fn no_error_holds_a_backtrace() -> Result<()> {
    let mut client = with_host("install_backtrace", Layout::Narrow)?;
    // A session's process title overwrites its environment in /proc, so the postmaster's is read.
    let data: String = client
        .query_one("select current_setting('data_directory')", &[])?
        .get(0);
    let process = std::fs::read_to_string(format!("{data}/postmaster.pid"))?;
    let process = process.lines().next().context("no server")?;
    let environment = std::fs::read(format!("/proc/{process}/environ"))?;
    ensure!(
        String::from_utf8_lossy(&environment).contains("RUST_BACKTRACE=full"),
        "the server has not the variable"
    );
    client.batch_execute(
        "select * from lockstep.attach();
         alter table projects add constraint no_wiki check (has_external_wiki is not true);
         insert into projects (id, namespace_id) values (1, 1)",
    )?;
    for (statement, detail) in [
        (
            "select * from lockstep.attach('nowhere')",
            "All of GitLab's tables must be in one schema.",
        ),
        (
            "select lockstep.feature_enabled(null)",
            "The argument is required.",
        ),
        // Errors of the server itself, passing through the extension.
        (
            "select lockstep.register_backfill_job('j', 'projects', 'update projects set none = 1 where {range}')",
            "",
        ),
        (
            "insert into integrations (project_id, active, category, type_new) values (1, true, 'common', 'Integrations::ExternalWiki')",
            "Failing row contains",
        ),
    ] {
        let error = error_of(&mut client, statement)?;
        let said = error.detail().unwrap_or_default();
        ensure!(said.starts_with(detail), "{statement}: {said}");
        ensure!(
            !said.contains('\n') && !said.contains(".rs"),
            "{statement}: {said}"
        );
    }
    Ok(())
}

/// The role that owns everything may only monitor, and nobody may have its rights; otherwise the extension is not created.
#[test]
fn a_role_that_may_more_is_refused() -> Result<()> {
    let cluster = Cluster::start("install-role", &[])?;
    let mut client = cluster.create_database("prepared")?;
    for (prepare, undo) in [
        (
            "create role lockstep_owner superuser",
            "alter role lockstep_owner nosuperuser",
        ),
        (
            "alter role lockstep_owner login",
            "alter role lockstep_owner nologin",
        ),
        (
            "alter role lockstep_owner createrole",
            "alter role lockstep_owner nocreaterole",
        ),
        (
            "alter role lockstep_owner createdb",
            "alter role lockstep_owner nocreatedb",
        ),
        (
            "alter role lockstep_owner replication",
            "alter role lockstep_owner noreplication",
        ),
        (
            "alter role lockstep_owner bypassrls",
            "alter role lockstep_owner nobypassrls",
        ),
        (
            "grant pg_write_all_data to lockstep_owner",
            "revoke pg_write_all_data from lockstep_owner",
        ),
        (
            "create role mallory; grant lockstep_owner to mallory",
            "revoke lockstep_owner from mallory",
        ),
    ] {
        client.batch_execute(prepare)?;
        let error = error_of(&mut client, "create extension lockstep")?;
        assert_eq!(error.code().code(), "0P000", "{prepare}: {error}");
        client.batch_execute(undo)?;
    }
    client.batch_execute(
        "create extension lockstep; drop extension lockstep; create extension lockstep",
    )?;
    Ok(())
}

/// The first database creates the roles, and all share them.
#[test]
fn two_databases_at_once() -> Result<()> {
    let cluster = Cluster::start("install-two", &[])?;
    let mut postgres = cluster.connect("postgres")?;
    for name in ["one", "two"] {
        postgres.batch_execute(&format!("create database {name}"))?;
    }
    for _ in 0..5 {
        let installed = ["one", "two"].map(|name| {
            let mut client = cluster.connect(name)?;
            Ok::<_, anyhow::Error>(thread::spawn(move || {
                client
                    .batch_execute("create extension lockstep_slack cascade")
                    .with_context(|| format!("in database {name}"))
            }))
        });
        for thread in installed {
            thread?.join().map_err(|_| anyhow!("panicked"))??;
        }
        for name in ["one", "two"] {
            cluster
                .connect(name)?
                .batch_execute("drop extension lockstep cascade")?;
        }
        // Nothing is left that depends on them.
        postgres.batch_execute("drop role lockstep_owner, lockstep_sidecar, lockstep_chatops")?;
    }
    Ok(())
}

/// The owner of the application's tables is dropped, with or without the tables.
#[test]
fn a_host_may_leave() -> Result<()> {
    for (name, leave) in [
        (
            "install_drop_owned",
            "drop owned by install_drop_owned_host cascade",
        ),
        (
            "install_reassign",
            "reassign owned by install_reassign_host to postgres; drop owned by install_reassign_host",
        ),
    ] {
        let mut client = empty(name)?;
        client.batch_execute(&format!(
            "create extension lockstep_slack cascade; create role {name}_host; alter database {name} owner to {name}_host; set role {name}_host"
        ))?;
        host::create(&mut client, Layout::Narrow)?;
        client.batch_execute(&format!(
            "select * from lockstep.attach(); select * from lockstep.attach_slack();
             create function is_staff(actor text) returns boolean language sql as 'select true';
             select lockstep.register_backfill_job('j', 'projects', 'update projects set name = name where {{range}}');
             insert into lockstep.feature_group values ('staff', 'public.is_staff', '{name}_host');
             reset role; alter database {name} owner to postgres; {leave}; drop role {name}_host"
        ))?;
        let exists = number(
            &mut client,
            "select count(*) from pg_class where relname = 'projects'",
        )?;
        client.batch_execute(
            "select * from lockstep.cache_columns; select * from lockstep.features; select lockstep.status_report();
             select * from lockstep.backfill_progress; select lockstep.feature_enabled('f', 'User:1', schema => 'public')
               from pg_class where relname = 'features'",
        )?;
        if exists > 0 {
            client.batch_execute(
                "insert into projects (id, namespace_id) values (1, 1);
                 insert into integrations (project_id, active, category) values (1, true, 'issue_tracker');
                 select * from lockstep.attach()",
            )?;
            let kept = "select count(*) from projects where has_external_issue_tracker";
            assert_eq!(number(&mut client, kept)?, 1);
        }
        // A job is removed with its table.
        match exists {
            0 => {
                let error = error_of(&mut client, "call lockstep.backfill('j')")?;
                assert_eq!(error.code().code(), "42704", "{error}");
            }
            _ => client.batch_execute("call lockstep.backfill('j')")?,
        }
        client.batch_execute("select lockstep.unregister_backfill_job('j'); select lockstep.unregister_feature_group('staff')")?;
        client.batch_execute("drop extension lockstep cascade")?;
    }
    Ok(())
}
