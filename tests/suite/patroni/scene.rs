//! What the servers have to do: projects with channels in Slack, two sidecars that serve, two that work, and a run that does not end.

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::{self, Layout};
use lockstep_tests::patroni::Patroni;
use lockstep_tests::slack::{App, FakeSlack};
use postgres::Client;
use serde_json::json;

use crate::backfill::wait_until;
use crate::notification::app::TOKEN;
use crate::sidecar::work;
use crate::slack_app::{self, install};

pub(crate) const DATABASE: &str = "app";

pub(crate) const PROJECTS: i64 = 30;

pub(crate) const ROWS: i64 = 30_000;

/// Slow enough to last through everything.
const SLOW: &str = r#"{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 200, "range_size": 1000}"#;

pub(crate) struct Scene {
    pub(crate) slack: FakeSlack,
    /// The channel of each project.
    pub(crate) channels: Vec<String>,
    pub(crate) serving: Vec<slack_app::Sidecar>,
    working: Vec<work::Sidecar>,
    pub(crate) run: i64,
}

/// Triggers log what the database alone would forget: each time that a job is done, and each reason to do it again.
const TABLES: &str = "
create table acknowledged (writer integer, number bigint);
create table done (job bigint);
create function log_done() returns trigger language plpgsql security definer as $$ begin insert into public.done values (new.job); return new; end $$;
create trigger log_done before insert on lockstep_internal.integration_event for each row execute function log_done();
create table again (job bigint);
create function log_again() returns trigger language plpgsql security definer as $$ begin insert into public.again values (new.id); return new; end $$;
create trigger log_again after update on lockstep_internal.job for each row
  when (new.failures > old.failures or new.losses > old.losses) execute function log_again();
create table small (id bigint primary key, n integer not null default 0);
insert into small select generate_series(1, 20);
analyze counted, small";

impl Scene {
    pub(crate) fn new(patroni: &Patroni) -> Result<Self> {
        patroni
            .connect("postgres")?
            .batch_execute(&format!("create database {DATABASE}"))?;
        let mut client = patroni.connect(DATABASE)?;
        lay_out(&mut client)?;
        let slack = FakeSlack::start(App::default())?;
        let team = slack.create_workspace("Acme").id;
        slack.create_user(&team, "ada");
        let address = patroni.address(DATABASE);
        let mut serving = Vec::new();
        let mut working = Vec::new();
        let token = format!("--gitlab-token={TOKEN}");
        for _ in 0..2 {
            serving.push(slack_app::Sidecar::start(&address, &slack, &[&token])?);
            let mut sidecar = work::Sidecar::start(&address, &["--lease=5"])?;
            // Nobody reads its log, which must not block it.
            drop(sidecar.0.stderr.take());
            working.push(sidecar);
        }
        for sidecar in &serving {
            sidecar.wait_until_ready()?;
        }
        let channels = connect_projects(&mut client, &slack, &team, &serving[0])?;
        let query =
            "select lockstep.start_backfill('count', workers => 2, settings => $1::text::jsonb)";
        let run = client.query_one(query, &[&SLOW])?.get(0);
        wait_until(&mut client, run, "scanned > 0 and cardinality(pids) = 2")?;
        Ok(Self {
            slack,
            channels,
            serving,
            working,
            run,
        })
    }

    pub(crate) fn logs(&self) -> String {
        let logs: Vec<String> = self.serving.iter().map(|it| it.log()).collect();
        logs.join("\n")
    }

    /// Fails if a sidecar has ended.
    pub(crate) fn assert_alive(&mut self) -> Result<()> {
        for sidecar in &mut self.working {
            let ended = sidecar.0.try_wait()?;
            ensure!(ended.is_none(), "work ended: {ended:?}");
        }
        for sidecar in &self.serving {
            sidecar.get("/healthz").context("serve ended")?;
        }
        Ok(())
    }
}

fn lay_out(client: &mut Client) -> Result<()> {
    host::create(client, Layout::Narrow)?;
    client.batch_execute("create extension lockstep_slack cascade")?;
    client.batch_execute(&format!(
        "create table counted (id bigint primary key, n integer not null default 0);
         insert into counted select generate_series(1, {ROWS})"
    ))?;
    client.batch_execute(TABLES)?;
    client.batch_execute(&format!(
        "do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;
         select lockstep.register_backfill_job('count', 'counted', 'update counted set n = n + 1 where {{range}}'),
                lockstep.register_backfill_job('small', 'small', 'update small set n = n + 1 where {{range}}');
         insert into projects (id, name, path, namespace_id)
           select n, 'P' || n, 'p' || n, 1 from generate_series(1, {PROJECTS}) n;
         insert into integrations (id, project_id, type_new, active) values (1, 1, 'Integrations::Slack', true)"
    ))?;
    Ok(())
}

/// One project by a browser, the others with its installation; each has a channel of its own.
fn connect_projects(
    client: &mut Client,
    slack: &FakeSlack,
    team: &str,
    sidecar: &slack_app::Sidecar,
) -> Result<Vec<String>> {
    let query = "select lockstep.issue_slack_install_ticket(project_id => 1)";
    let ticket: String = client.query_one(query, &[])?.get(0);
    let page = install(sidecar, &format!("?ticket={ticket}"))?;
    ensure!(page.status == 200, "{}", page.text());
    client.execute(
        "select lockstep.install_slack_workspace(s.team_id, s.team_name, s.user_id, s.bot_user_id, s.encrypted_bot_access_token,
                  s.encrypted_bot_access_token_iv, '{chat:write, chat:write.public, commands}', project_id => p.id)
           from (select * from slack_integrations order by id limit 1) s, projects p where p.id > 1",
        &[],
    )?;
    client.batch_execute(
        "update integrations set push_events = true where type_new = 'Integrations::GitlabSlackApplication'",
    )?;
    let mut channels = Vec::new();
    for project in 1..=PROJECTS {
        let name = format!("p{project}");
        channels.push(slack.create_channel(team, &name).id);
        let settings = json!({ "channels": format!("#{name}") }).to_string();
        let set = "select lockstep.set_slack_notifications(i.id, $2::text::jsonb) from integrations i
                    where i.project_id = $1 and i.type_new = 'Integrations::GitlabSlackApplication'";
        ensure!(client.query(set, &[&project, &settings])?.len() == 1);
    }
    Ok(channels)
}
