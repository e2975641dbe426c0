//! pg_upgrade to a newer server keeps definitions, triggers, jobs and rights, and holds nothing back.
//!
//! It is tested with each newer PostgreSQL for which `make build PG=...` has built the extension.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lockstep_tests::account::Account;
use lockstep_tests::cluster::{Cluster, PORT, SUPERUSER};
use lockstep_tests::host::{self, Layout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

/// What must be equal afterwards.
const KEPT: &str = "
select jsonb_build_object(
  'definitions', (select jsonb_agg(to_jsonb(c) order by c.id) from lockstep.cache_columns c),
  'jobs', (select jsonb_agg(j) from lockstep_internal.job j), 'backfills', (select jsonb_agg(b) from lockstep.backfill_job b),
  'groups', (select jsonb_agg(g) from lockstep.feature_group g), 'audit', (select jsonb_agg(a order by a.id) from lockstep.feature_audit a),
  'values', (select jsonb_agg(jsonb_build_array(p.id, p.has_external_wiki) order by p.id) from projects p))::text";

/// Debian's 15.20 stores a version with each column, among its options, which newer servers reject as unknown.
const FORGET_VERSIONS: &str =
    "update pg_attribute set attoptions = null where attoptions::text like '{pg_attver=%}'";

/// The newer server; it is stopped when this is dropped.
struct Newer(Child);

impl Drop for Newer {
    fn drop(&mut self) {
        let process = Pid::from_raw(self.0.id().cast_signed());
        kill(process, Signal::SIGQUIT).ok();
        self.0.wait().ok();
    }
}

#[test]
fn pg_upgrade_takes_everything_along() -> Result<()> {
    let mut old = Cluster::start("pg-upgrade", &[])?;
    let newer = old.newer()?;
    if newer.is_empty() {
        eprintln!("skipped: no newer PostgreSQL is at hand with the extension: make build PG=17");
        return Ok(());
    }
    let mut client = old.create_database("upgraded")?;
    host::create(&mut client, Layout::Narrow)?;
    client.batch_execute(
        "create extension lockstep; select * from lockstep.attach();
         create extension lockstep_slack; select * from lockstep.attach_slack();
         create role upgraded_owner; alter database upgraded owner to upgraded_owner;
         insert into projects (id, namespace_id) select generate_series(1, 9), 1;
         insert into integrations (project_id, active, category, type_new)
           select n, n % 2 = 0, 'common', 'Integrations::ExternalWiki' from generate_series(1, 9) n;
         create function is_staff(actor text) returns boolean language sql as 'select true';
         select lockstep.register_feature_group('staff', 'is_staff(text)');
         select lockstep.enable_feature_for_group('f', 'staff');
         select lockstep.register_backfill_job('rename', 'projects', 'update projects set name = ''n'' || id where {range}');
         select lockstep.enqueue_job('W', '[1]')",
    )?;
    let before: String = client.query_one(KEPT, &[])?.get(0);
    drop(client);
    for database in ["upgraded", "postgres", "template1"] {
        old.connect(database)?.batch_execute(FORGET_VERSIONS)?;
    }
    old.stop()?;
    for (major, programs) in newer {
        upgrade(&old, &programs, &before).with_context(|| format!("to PostgreSQL {major}"))?;
    }
    Ok(())
}

/// Upgrades a copy of the old cluster's data, and uses it.
fn upgrade(old: &Cluster, newer: &Path, before: &str) -> Result<()> {
    let account = Account::of_server()?;
    let data = old.socket().with_file_name("data");
    let to = old.socket().join("newer");
    let of_newer = |name: &str| {
        let mut command = account.command(newer.join(name));
        command.current_dir(old.socket());
        command
    };
    let mut initdb = of_newer("initdb");
    initdb.args([
        "--no-sync",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    ]);
    initdb
        .args(["--username", SUPERUSER])
        .arg("--pgdata")
        .arg(&to);
    if String::from_utf8_lossy(&of_newer("initdb").arg("--help").output()?.stdout)
        .contains("--no-data-checksums")
    {
        initdb.arg("--no-data-checksums");
    }
    run(&mut initdb, &to)?;
    for check in [&["--check"][..], &[]] {
        let mut upgrade = of_newer("pg_upgrade");
        upgrade.args(check).args(["--username", SUPERUSER]);
        for (option, path) in [
            ("--old-bindir", old.bin()),
            ("--new-bindir", newer),
            ("--old-datadir", &data),
            ("--new-datadir", &to),
            ("--socketdir", &old.socket()),
        ] {
            upgrade.arg(option).arg(path);
        }
        run(&mut upgrade, &to)?;
    }

    let server = of_newer("postgres")
        .arg("-D")
        .arg(&to)
        .args(["-c", "listen_addresses="])
        .arg("-k")
        .arg(old.socket())
        .args(["-p", &PORT.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let server = Newer(server);
    let mut client = connect(old)?;
    assert_eq!(client.query_one(KEPT, &[])?.get::<_, String>(0), before);
    // It continues by itself, with the same rights.
    for statement in [
        "update integrations set active = not active",
        "call lockstep.backfill('rename')",
        "insert into projects (id, namespace_id) values (10, 1)",
    ] {
        client.batch_execute(statement).context(statement)?;
    }
    for (query, expected) in [
        ("select count(*) from projects where has_external_wiki", 5),
        (
            "select count(*) from lockstep.claim_jobs(lockstep.start_runner('r'), '{W}')",
            1,
        ),
        (
            "select count(*) from projects where id < 10 and name is distinct from 'n' || id",
            0,
        ),
        (
            "select lockstep.feature_enabled('f', 'User:1')::integer::bigint",
            1,
        ),
        (
            "select has_table_privilege('upgraded_owner', 'lockstep_internal.job', 'select')::integer::bigint",
            1,
        ),
    ] {
        assert_eq!(
            client.query_one(query, &[])?.get::<_, i64>(0),
            expected,
            "{query}"
        );
    }
    client.batch_execute(
        "select * from lockstep.detach_slack(); drop extension lockstep_slack;
         select * from lockstep.detach(); drop extension lockstep",
    )?;
    drop((client, server));
    std::fs::remove_dir_all(to)?;
    Ok(())
}

fn connect(cluster: &Cluster) -> Result<Client> {
    let begun = Instant::now();
    loop {
        match cluster.config("upgraded").connect(NoTls) {
            Ok(client) => return Ok(client),
            Err(_) if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(50)),
            Err(error) => return Err(error).context("the newer server does not answer"),
        }
    }
}

/// Its output, and on failure the ends of pg_upgrade's logs, which are below its working directory.
fn run(command: &mut Command, logs: &Path) -> Result<()> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().with_context(|| format!("{command:?}"))?;
    if status.success() {
        return Ok(());
    }
    let logs = Command::new("sh")
        .args([
            "-c",
            "find \"$0\" -name '*.log' -path '*pg_upgrade_output.d*' -exec tail -n 20 {} +",
        ])
        .arg(logs)
        .output()?;
    bail!(
        "{command:?}: {}{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
        String::from_utf8_lossy(&logs.stdout)
    )
}
