//! pg_upgrade to a newer server takes definitions, triggers, jobs and rights along, and nothing is held there.
//!
//! It runs where LOCKSTEP_UPGRADE_BIN names the programs of a newer PostgreSQL in which this version of the extension is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::account::Account;
use lockstep_tests::cluster::{Cluster, PORT, SUPERUSER};
use lockstep_tests::host::{self, Layout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::{Client, NoTls};

const PATIENCE: Duration = Duration::from_secs(60);

/// What has to be the same afterwards.
const KEPT: &str = "
select jsonb_build_object(
  'definitions', (select jsonb_agg(to_jsonb(c) order by c.id) from lockstep.cache_columns c),
  'jobs', (select jsonb_agg(j) from lockstep.job j), 'backfills', (select jsonb_agg(b) from lockstep.backfill_job b),
  'groups', (select jsonb_agg(g) from lockstep.feature_group g), 'audit', (select jsonb_agg(a order by a.id) from lockstep.feature_audit a),
  'values', (select jsonb_agg(jsonb_build_array(p.id, p.has_external_wiki) order by p.id) from projects p))::text";

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
    let Some(newer) = std::env::var_os("LOCKSTEP_UPGRADE_BIN").map(PathBuf::from) else {
        eprintln!("skipped: LOCKSTEP_UPGRADE_BIN names no newer PostgreSQL");
        return Ok(());
    };
    let mut old = Cluster::start("pg-upgrade", &[])?;
    let mut client = old.create_database("upgraded")?;
    host::create(&mut client, Layout::Narrow)?;
    client.batch_execute(
        "create extension lockstep; select * from lockstep.attach();
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
    let ask = |client: &mut Client, query: &str| -> Result<PathBuf> {
        Ok(PathBuf::from(
            client.query_one(query, &[])?.get::<_, String>(0),
        ))
    };
    let data = ask(&mut client, "select current_setting('data_directory')")?;
    let programs = ask(
        &mut client,
        "select setting from pg_config where name = 'BINDIR'",
    )?;
    drop(client);
    old.stop()?;

    // pg_upgrade asks more of the older installation than a test does.
    let installed = old.client_program("psql");
    let installed = Path::new(installed.get_program());
    for name in ["pg_ctl", "pg_controldata", "pg_resetwal"] {
        std::fs::copy(installed.with_file_name(name), programs.join(name))?;
    }
    let account = Account::of_server()?;
    let to = data.with_file_name("socket").join("newer");
    let of_newer = |name: &str| {
        let mut command = account.command(newer.join(name));
        command.current_dir(data.with_file_name("socket"));
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
    run(&mut initdb)?;
    for check in [&["--check"][..], &[]] {
        let mut upgrade = of_newer("pg_upgrade");
        upgrade.args(check).args(["--username", SUPERUSER]);
        for (option, path) in [
            ("--old-bindir", programs.as_path()),
            ("--new-bindir", &newer),
            ("--old-datadir", &data),
            ("--new-datadir", &to),
            ("--socketdir", &data.with_file_name("socket")),
        ] {
            upgrade.arg(option).arg(path);
        }
        run(&mut upgrade)?;
    }

    let server = of_newer("postgres")
        .arg("-D")
        .arg(&to)
        .args(["-c", "listen_addresses="])
        .arg("-k")
        .arg(data.with_file_name("socket"))
        .args(["-p", &PORT.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let _server = Newer(server);
    let mut client = connect(&old)?;
    assert_eq!(client.query_one(KEPT, &[])?.get::<_, String>(0), before);
    // It goes on by itself, with the rights of before.
    client.batch_execute(
        "update integrations set active = not active;
         call lockstep.backfill('rename');
         insert into projects (id, namespace_id) values (10, 1)",
    )?;
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
            "select has_table_privilege('upgraded_owner', 'lockstep.job', 'select')::integer::bigint",
            1,
        ),
    ] {
        assert_eq!(
            client.query_one(query, &[])?.get::<_, i64>(0),
            expected,
            "{query}"
        );
    }
    client.batch_execute("select * from lockstep.detach(); drop extension lockstep")?;
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

fn run(command: &mut Command) -> Result<()> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    Ok(())
}
