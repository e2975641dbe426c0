//! The entry points: functions and views, procedures that commit, workers, triggers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;

use super::calls::{CALLS, Way, spelled_out};
use super::things::Thing;
use super::world::{Session, World, said};
use crate::concurrency::PATIENCE;
use crate::service_account::number;

/// The callers: the tables' owner, a user with every grant from owner and DBA, the roles of the network, a superuser.
const CALLERS: [&str; 5] = [
    "hostile_mallory",
    "hostile_other",
    "hostile_sidecar",
    "hostile_chatops",
    "postgres",
];

/// What starts workers. The runs are those above.
const STARTS: [&str; 6] = [
    r#"select lockstep.start_backfill('counted', settings => '{"hold_ms": 100, "max_set_aside": 1}')"#,
    r#"select lockstep.start_backfill('service_accounts', 'mallory.duo_workflows_workflows', settings => '{"hold_ms": 100, "max_set_aside": 1}')"#,
    "select lockstep.resume_backfill(1)",
    "select lockstep.retry_backfill(2)",
    "select lockstep_api.chatops_start_backfill({command}, 'counted')",
    "select lockstep_api.chatops_control_backfill({command}, 1, 'resume')",
];

/// Writes that fire lockstep's triggers, each with its table.
pub(super) const WRITES: [(&str, &str); 18] = [
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

impl World {
    /// Runs a statement as a user, with everything that its end triggers, in a transaction that is rolled back.
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

    /// Each function and view, by each caller.
    pub(super) fn call_all(&mut self) -> Result<()> {
        let views = self.admin.client.query(
            "select 'select * from ' || c.oid::regclass from pg_class c
              where c.relnamespace::regnamespace::text ~ '^lockstep' and c.relkind in ('v', 'm', 'r') order by c.relname",
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

    /// What commits by itself, by each caller.
    pub(super) fn call_alone(&mut self) -> Result<()> {
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

    /// Workers, started by each caller.
    pub(super) fn work(&mut self) -> Result<()> {
        for caller in ["hostile_mallory", "hostile_chatops", "postgres"] {
            let mut session = Session::begin(&self.name, caller)?;
            for statement in STARTS {
                if let Err(error) = session.client.batch_execute(&spelled_out(statement)) {
                    self.failed
                        .push(format!("{caller}: {statement}: {}", said(&error)));
                }
                // A table has one run at a time.
                self.wait_for_workers()?;
            }
            let warnings = session.warnings();
            let what = "workers";
            self.judge(&format!("{caller}: {what}"), what, warnings)?;
            self.rewind_runs()?;
        }
        Ok(())
    }

    /// Until they have ended and their work is counted.
    fn wait_for_workers(&mut self) -> Result<()> {
        let begun = Instant::now();
        let busy = "select (select count(*) from lockstep_internal.backfill_run where status = 'running')
                         + (select count(*) from pg_stat_activity where datname = current_database() and backend_type ~ 'lockstep')";
        while number(&mut self.admin.client, busy)? > 0 {
            ensure!(begun.elapsed() < PATIENCE, "workers do not end");
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Resets the runs to their initial state.
    fn rewind_runs(&mut self) -> Result<()> {
        Ok(self.admin.client.batch_execute(
            "delete from lockstep_internal.backfill_run where id not in (1, 2, 1000); delete from lockstep_internal.backfill_range;
             update lockstep_internal.backfill_run set status = case id when 1 then 'paused' when 2 then 'failed' else 'finished' end, handed_out = '{}'",
        )?)
    }

    /// A user writes tables that have lockstep's triggers. As always in PostgreSQL, code on the written table runs as the writer;
    /// code of other tables must not.
    pub(super) fn write_all(&mut self) -> Result<()> {
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

    /// Checks what ran since the last time.
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

    pub(super) fn end(self, thing: &Thing) -> Result<()> {
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

/// What a call must not leave in the session: settings, another role, temporary tables, cursors that run at the end of the
/// transaction.
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
