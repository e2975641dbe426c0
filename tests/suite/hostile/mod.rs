//! Code of somebody with tables of his own, planted wherever a table can have code, against every function, view, trigger and worker of
//! lockstep: it runs with no rights but his, whoever calls.

mod calls;
mod things;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use postgres::{Client, Config, NoTls};

use crate::concurrency::PATIENCE;
use crate::service_account::number;
use calls::{CALLS, Way, spelled_out};
use things::Thing;

/// Who calls: the owner of the tables, somebody whom he and a DBA have granted all they can, the roles of the network, a superuser.
const CALLERS: [&str; 5] = [
    "hostile_mallory",
    "hostile_other",
    "hostile_sidecar",
    "hostile_chatops",
    "postgres",
];

/// Runs of jobs of mallory's, 1 and 2, that others can go on with.
const RUNS: [&str; 4] = [
    r#"select lockstep.open_backfill('paused', settings => '{"hold_function": "mallory.hold", "hold_ms": 100, "max_set_aside": 1}')"#,
    "select lockstep.pause_backfill(1)",
    r#"select lockstep.open_backfill('failed', settings => '{"hold_function": "mallory.hold", "hold_ms": 100, "max_set_aside": 1}')"#,
    "select lockstep.pause_backfill(2)",
];

/// What starts workers. The runs are those above.
const STARTS: [&str; 6] = [
    r#"select lockstep.start_backfill('counted', settings => '{"hold_ms": 100, "max_set_aside": 1}')"#,
    r#"select lockstep.start_backfill('service_accounts', 'mallory.duo_workflows_workflows', settings => '{"hold_ms": 100, "max_set_aside": 1}')"#,
    "select lockstep.resume_backfill(1)",
    "select lockstep.retry_backfill(2)",
    "select lockstep.chatops_start_backfill({command}, 'counted')",
    "select lockstep.chatops_control_backfill({command}, 1, 'resume')",
];

/// Writes that fire the triggers of lockstep, with a table each.
const WRITES: [(&str, &str); 18] = [
    (
        "integrations",
        "insert into {t} (id, project_id, type_new, category, active) values (50, 3, 'Integrations::ExternalWiki', 'common', true)",
    ),
    (
        "integrations",
        "insert into {t} (id, project_id, type_new, category, active) values (51, 3, 'Integrations::Jira', 'issue_tracker', true)",
    ),
    ("integrations", "update {t} set active = not active"),
    ("integrations", "update {t} set project_id = 4 - project_id"),
    ("integrations", "delete from {t}"),
    ("integrations", "truncate {t}"),
    (
        "projects",
        "insert into {t} (id, namespace_id) values (50, 1)",
    ),
    (
        "projects",
        "update {t} set has_external_wiki = not has_external_wiki",
    ),
    ("projects", "update {t} set id = id + 100"),
    ("slack_integrations", "update {t} set user_id = 'U9'"),
    (
        "slack_integrations",
        "insert into {t} (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id, project_id) values (50, 'T1', 'Team', 'x', 'U2', '2026-01-01', '2026-01-01', 2, 1)",
    ),
    ("slack_integrations", "delete from {t}"),
    ("slack_integrations_scopes", "delete from {t}"),
    (
        "duo_workflows_workflows",
        "insert into {t} (id, user_id, project_id, ai_catalog_item_version_id) values (50, 1, 1, 10), (51, 1, 1, null)",
    ),
    (
        "duo_workflows_workflows",
        "insert into {t} (id, user_id, namespace_id, workflow_definition) values (52, 1, 2, 'flow')",
    ),
    ("features", "delete from {t}"),
    ("feature_gates", "update {t} set value = 'false'"),
    ("feature_gates", "truncate {t}"),
];

/// One of its own: what happens here may end a server. Without workers but those of lockstep.
fn cluster() -> Result<&'static Cluster> {
    static CLUSTER: OnceLock<Result<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| {
            Cluster::start(
                "hostile",
                &[("max_worker_processes", "16"), ("autovacuum", "off")],
            )
        })
        .as_ref()
        .map_err(|error| anyhow!("{error:#}"))
}

fn roles() -> Result<()> {
    static ROLES: OnceLock<Result<()>> = OnceLock::new();
    let create = || -> Result<()> {
        Ok(cluster()?.connect("postgres")?.batch_execute(
            "create role hostile_mallory login; create role hostile_alice; create role hostile_other login; create role hostile_sidecar login; create role hostile_chatops login",
        )?)
    };
    match ROLES.get_or_init(create) {
        Ok(()) => Ok(()),
        Err(error) => Err(anyhow!("{error:#}")),
    }
}

/// A session, and what evil() has warned it of since it was asked last.
struct Session {
    client: Client,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Session {
    fn begin(database: &str, role: &str) -> Result<Self> {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&warnings);
        let mut config: Config = cluster()?.config(database);
        config
            .user(role)
            .options("-c hostile.client=yes -c statement_timeout=30s")
            .notice_callback(move |notice| {
                if notice.message().starts_with("evil: ")
                    && let Ok(mut heard) = heard.lock()
                {
                    heard.push(notice.message().to_owned());
                }
            });
        let client = config
            .connect(NoTls)
            .with_context(|| format!("{role} cannot connect to {database}"))?;
        Ok(Self { client, warnings })
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings
            .lock()
            .map(|mut heard| std::mem::take(&mut *heard))
            .unwrap_or_default()
    }
}

/// A database with tables of mallory's, in which something is planted.
struct World {
    name: String,
    admin: Session,
    leaks: BTreeSet<String>,
    /// By which ways it ran as its owner: what is never reached proves nothing.
    reached: BTreeSet<String>,
    failed: Vec<String>,
}

impl World {
    fn with(name: &str, thing: &Thing) -> Result<Self> {
        roles()?;
        let name = format!("hostile_{name}");
        cluster()?
            .connect("postgres")?
            .batch_execute(&format!("create database \"{name}\""))?;
        let mut admin = Session::begin(&name, "postgres")?;
        admin.client.batch_execute(&format!(
            "create extension lockstep; create schema mallory authorization hostile_mallory;
             grant create on database {name} to hostile_mallory; grant lockstep_sidecar to hostile_sidecar; grant lockstep_chatops to hostile_chatops;
             grant execute on all functions in schema lockstep to hostile_other, hostile_mallory"
        ))?;
        let mut mallory = Session::begin(&name, "hostile_mallory")?;
        mallory.client.batch_execute("set search_path = mallory")?;
        host::create(&mut mallory.client, Layout::Narrow)?;
        host::run(&mut mallory.client, host::MEMBERS)?;
        host::run(&mut mallory.client, host::DEPLOYMENTS)?;
        mallory.client.batch_execute("set search_path = public")?;
        mallory
            .client
            .batch_execute("select * from lockstep.attach('mallory')")?;
        for (script, path) in [
            (include_str!("rows.sql"), "mallory"),
            (include_str!("evil.sql"), "public"),
            (include_str!("plant.sql"), "public"),
        ] {
            mallory
                .client
                .batch_execute(&format!("set search_path = {path}"))?;
            mallory.client.batch_execute(script)?;
        }
        for statement in RUNS {
            mallory.client.batch_execute(statement)?;
        }
        admin.client.batch_execute(include_str!("seed.sql"))?;
        admin
            .client
            .batch_execute(thing.granted)
            .with_context(|| format!("{} cannot be granted", thing.name))?;
        let mut mallory = Session::begin(&name, "hostile_mallory")?;
        mallory
            .client
            .batch_execute(thing.planted)
            .with_context(|| format!("{} cannot be planted", thing.name))?;
        admin
            .client
            .batch_execute(thing.arranged)
            .with_context(|| format!("{} cannot be arranged", thing.name))?;
        admin.client.batch_execute(
            "grant all on all tables in schema mallory to hostile_other, lockstep_chatops;
             grant execute on all functions in schema mallory to public",
        )?;
        let mut world = Self {
            name,
            admin,
            leaks: BTreeSet::new(),
            reached: BTreeSet::new(),
            failed: Vec::new(),
        };
        // What was planted ran while it was planted.
        world.admin.warnings();
        world.count()?;
        Ok(world)
    }

    /// How often something ran as the owner, and as another, since the last time.
    fn count(&mut self) -> Result<(i64, i64)> {
        let row = self.admin.client.query_one(
            "select case when a.is_called then a.last_value else 0 end, case when b.is_called then b.last_value else 0 end
                    operator(pg_catalog.+) case when c.is_called then c.last_value else 0 end
               from mallory.as_owner a, mallory.as_another b, mallory.as_another_session c",
            &[],
        )?;
        let counts = (row.get(0), row.get(1));
        if counts != (0, 0) {
            self.admin.client.batch_execute(
                "select pg_catalog.setval('mallory.as_owner', 1, false), pg_catalog.setval('mallory.as_another', 1, false),
                        pg_catalog.setval('mallory.as_another_session', 1, false)",
            )?;
        }
        Ok(counts)
    }

    /// Has somebody run a statement, with all that comes with its end, in a transaction that is rolled back.
    fn run(&mut self, session: &mut Session, caller: &str, what: &str, sql: &str) -> Result<()> {
        let client = &mut session.client;
        let done = client.batch_execute(&format!("begin; {sql}; set constraints all immediate"));
        let mut left = Vec::new();
        match done {
            Ok(()) => left = left_behind(client)?,
            Err(error) => self
                .failed
                .push(format!("{caller}: {what}: {}", said(&error))),
        }
        client.batch_execute("rollback")?;
        for trace in left {
            self.leaks.insert(format!("{caller}: {what}: {trace}"));
        }
        let warnings = session.warnings();
        self.judge(&format!("{caller}: {what}"), what, warnings)
    }

    /// Each function and view, by everybody.
    fn call_all(&mut self) -> Result<()> {
        let views = self.admin.client.query(
            "select 'select * from ' || c.oid::regclass from pg_class c
              where c.relnamespace = 'lockstep'::regnamespace and c.relkind in ('v', 'm', 'r') order by c.relname",
            &[],
        )?;
        for caller in CALLERS {
            let mut session = Session::begin(&self.name, caller)?;
            for view in &views {
                let query: &str = view.get(0);
                self.run(&mut session, caller, query, query)?;
            }
            for (name, way) in CALLS {
                if let Way::Call(sql) = way {
                    self.run(&mut session, caller, name, &spelled_out(sql))?;
                }
            }
        }
        Ok(())
    }

    /// What commits by itself, by everybody.
    fn call_alone(&mut self) -> Result<()> {
        for caller in CALLERS {
            for (name, way) in CALLS {
                let Way::Alone(statements) = way else {
                    continue;
                };
                let mut session = Session::begin(&self.name, caller)?;
                for statement in *statements {
                    if let Err(error) = session.client.batch_execute(statement) {
                        self.failed
                            .push(format!("{caller}: {name}: {}", said(&error)));
                    }
                }
                session
                    .client
                    .batch_execute("select pg_catalog.pg_advisory_unlock_all()")?;
                let warnings = session.warnings();
                self.judge(&format!("{caller}: {name}"), name, warnings)?;
                self.rewind_runs()?;
            }
        }
        Ok(())
    }

    /// Workers that somebody starts.
    fn work(&mut self) -> Result<()> {
        for caller in ["hostile_mallory", "hostile_chatops", "postgres"] {
            let mut session = Session::begin(&self.name, caller)?;
            for statement in STARTS {
                if let Err(error) = session.client.batch_execute(&spelled_out(statement)) {
                    self.failed
                        .push(format!("{caller}: {statement}: {}", said(&error)));
                }
            }
            self.wait_for_workers()?;
            let warnings = session.warnings();
            let what = "workers";
            self.judge(&format!("{caller}: {what}"), what, warnings)?;
            self.rewind_runs()?;
        }
        Ok(())
    }

    /// Until they have ended, and what they have run is counted.
    fn wait_for_workers(&mut self) -> Result<()> {
        let begun = Instant::now();
        let busy = "select (select count(*) from lockstep.backfill_run where status = 'running')
                         + (select count(*) from pg_stat_activity where datname = current_database() and backend_type ~ 'lockstep')";
        while number(&mut self.admin.client, busy)? > 0 {
            ensure!(begun.elapsed() < PATIENCE, "workers do not end");
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The runs as they were in the beginning.
    fn rewind_runs(&mut self) -> Result<()> {
        Ok(self.admin.client.batch_execute(
            "delete from lockstep.backfill_run where id not in (1, 2, 1000); delete from lockstep.backfill_range;
             update lockstep.backfill_run set status = case id when 1 then 'paused' when 2 then 'failed' else 'finished' end, handed_out = '{}'",
        )?)
    }

    /// Somebody writes tables that have triggers of lockstep. What belongs to the table that he writes runs as he, as PostgreSQL has it;
    /// what belongs to others does not.
    fn write_all(&mut self) -> Result<()> {
        self.admin.client.batch_execute(
            "do $$ declare f record; begin
               for f in select conrelid::regclass as t, conname from pg_constraint where contype = 'f' and connamespace = 'mallory'::regnamespace and conparentid = 0 loop
                 execute format('alter table %s drop constraint %I', f.t, f.conname);
               end loop; end $$",
        )?;
        self.count()?;
        for caller in ["hostile_mallory", "hostile_other", "postgres"] {
            let mut session = Session::begin(&self.name, caller)?;
            for (table, statement) in WRITES {
                let client = &mut session.client;
                let statement = statement.replace("{t}", &format!("mallory.{table}"));
                let done = client.batch_execute(&format!(
                    "begin; {statement}; set constraints all immediate"
                ));
                if let Err(error) = done {
                    self.failed
                        .push(format!("{caller}: {statement}: {}", said(&error)));
                }
                client.batch_execute("rollback")?;
                let (as_owner, _) = self.count()?;
                if as_owner > 0 {
                    self.reached.insert(format!("{table}: {statement}"));
                }
                let own = [format!(" of {table} "), format!(" of {table}_child ")];
                let foreign: Vec<String> = session
                    .warnings()
                    .into_iter()
                    .filter(|warning| !own.iter().any(|own| warning.contains(own)))
                    .collect();
                if let Some(warning) = foreign.first() {
                    self.leaks
                        .insert(format!("{caller}: {statement} of {table}: {warning}"));
                }
            }
        }
        Ok(())
    }

    /// Looks at what ran since the last time.
    fn judge(&mut self, way: &str, what: &str, mut warnings: Vec<String>) -> Result<()> {
        let (as_owner, as_another) = self.count()?;
        if as_owner > 0 {
            self.reached.insert(what.to_owned());
        }
        if as_another > 0 {
            warnings.truncate(1);
            self.leaks.insert(format!("{way}: {}", warnings.concat()));
        }
        Ok(())
    }

    fn end(self, thing: &Thing) -> Result<()> {
        println!(
            "{}: reached by {} ways, {} calls failed",
            thing.name,
            self.reached.len(),
            self.failed.len()
        );
        if std::env::var_os("HOSTILE_TALK").is_some() {
            println!("reached: {:?}", self.reached);
            for failed in &self.failed {
                println!("  failed: {failed}");
            }
        }
        ensure!(
            thing.is_refused || !self.reached.is_empty(),
            "{}: nothing is reached",
            thing.name
        );
        let leaks: Vec<&str> = self.leaks.iter().map(String::as_str).collect();
        ensure!(
            leaks.is_empty(),
            "{}: {} leaks\n  {}",
            thing.name,
            leaks.len(),
            leaks.join("\n  ")
        );
        Ok(())
    }
}

/// What a call may not leave in the session: settings, another role, temporary tables, cursors that are run at the end of the transaction.
fn left_behind(client: &mut Client) -> Result<Vec<String>> {
    let row = client.query_one(
        "select pg_catalog.current_setting('hostile.left', true) operator(pg_catalog.=) 'behind', pg_catalog.current_setting('hostile.tried', true) operator(pg_catalog.<>) '',
                (select pg_catalog.count(*) from pg_catalog.pg_cursors c where c.is_holdable) operator(pg_catalog.>) 0,
                current_user operator(pg_catalog.<>) session_user, pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0",
        &[],
    )?;
    let traces = [
        "a setting is left",
        "a setting is left that was local",
        "a cursor is left",
        "the role is another one",
        "a temporary table is left",
    ];
    let left = traces
        .iter()
        .enumerate()
        .filter(|(place, _)| row.get::<_, Option<bool>>(*place) == Some(true));
    Ok(left.map(|(_, trace)| (*trace).to_owned()).collect())
}

fn said(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |error| format!("{} {}", error.code().code(), error.message()),
    )
}

fn attack(name: &str, thing: &Thing) -> Result<()> {
    let mut world = World::with(name, thing)?;
    world.call_all()?;
    world.call_alone()?;
    world.work()?;
    world.write_all()?;
    world.end(thing)
}

/// A function that is new has to be thought about here.
#[test]
fn every_function_has_a_row() -> Result<()> {
    let mut client = crate::database::empty("hostile_functions")?;
    client.batch_execute("create extension lockstep")?;
    let rows = client.query(
        "select p.proname::text, p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype) from pg_proc p
          where p.pronamespace = 'lockstep'::regnamespace order by 1",
        &[],
    )?;
    let there: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut here: Vec<(String, bool)> = CALLS
        .iter()
        .map(|(name, way)| ((*name).to_owned(), matches!(way, Way::Trigger)))
        .collect();
    here.sort();
    ensure!(
        here == there,
        "without a row: {:?}; rows without a function: {:?}",
        there
            .iter()
            .filter(|it| !here.contains(it))
            .collect::<Vec<_>>(),
        here.iter()
            .filter(|it| !there.contains(it))
            .collect::<Vec<_>>()
    );
    Ok(())
}

/// Without anything hostile each call does what it is for; otherwise the others would prove nothing.
#[test]
fn nothing() -> Result<()> {
    let mut world = World::with("nothing", &things::NOTHING)?;
    world.call_all()?;
    world.call_alone()?;
    world.work()?;
    world.write_all()?;
    let failed: Vec<&String> = world
        .failed
        .iter()
        .filter(|it| it.starts_with("postgres: "))
        .collect();
    ensure!(failed.is_empty(), "{failed:#?}");
    world.end(&things::NOTHING)
}

macro_rules! attacks {
    ($($name:ident: $thing:ident,)*) => {
        $(#[test] fn $name() -> Result<()> { attack(stringify!($name), &things::$thing) })*
    };
}

attacks! {
    columns: COLUMNS,
    triggers: TRIGGERS,
    deferred_triggers: DEFERRED,
    policies: POLICIES,
    rules: RULES,
    views: VIEWS,
    domains: DOMAINS,
    domains_before_attach: DOMAINS_FIRST,
    domains_of_texts_before_attach: TEXTS_FIRST,
    enums: ENUMS,
    event_triggers: EVENT_TRIGGERS,
    foreign_tables: FOREIGN_TABLES,
    partitions: PARTITIONS,
    children: CHILDREN,
    shadows: SHADOWS,
    source_of_another: SOURCE_OF_ANOTHER,
    target_of_another: TARGET_OF_ANOTHER,
}
