//! Projects whose events go to channels of workspaces with the app, and the sidecar between GitLab and Slack.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::Webhook;
use lockstep_tests::host::{self, Layout};
use lockstep_tests::http::Http;
use lockstep_tests::slack::{App, Decision, FakeSlack};
use lockstep_tests::target;
use postgres::Client;
use serde_json::json;

use crate::server::{Copy, Server};

pub(super) const TEMPLATE: &str = "notification";

const TOKEN: &str = "secret-token-of-the-webhook";
const PATIENCE: Duration = Duration::from_secs(30);

/// A database with projects that are not connected to a workspace yet.
pub(super) fn create_template(server: &mut Server) -> Result<()> {
    server.create_template(TEMPLATE, fill_template)
}

pub(super) fn fill_template(client: &mut Client) -> Result<()> {
    const PROJECTS: u32 = 2_000;
    client.batch_execute("create extension lockstep_slack cascade")?;
    host::create(client, Layout::Wide)?;
    client.batch_execute(&format!(
        "insert into projects (id, name, path, namespace_id, project_namespace_id, organization_id)
         select n, 'project ' || n, 'project-' || n, 1, 1000000 + n, 1 from generate_series(1, {PROJECTS}) n;
         select lockstep.attach(); select lockstep.attach_slack()"
    ))?;
    Ok(())
}

/// The setup that a measurement needs.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) workspaces: u32,
    /// Per workspace.
    pub(super) projects: u32,
    /// Per project.
    pub(super) channels: u32,
}

/// The sidecar as it is shipped, in front of a fake Slack.
pub(super) struct Scene {
    process: Child,
    pub(super) base: String,
    pub(super) slack: FakeSlack,
    pub(super) webhook: Webhook,
    /// The ids of each project's channels, from project 1 on.
    pub(super) channels: Vec<Vec<String>>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Scene {
    /// Fills a copy of the template according to the plan, and starts the sidecar.
    pub(super) fn start(copy: &mut Copy, plan: Plan) -> Result<Self> {
        let slack = FakeSlack::start(App::default())?;
        slack.only_count();
        // It was free a moment ago, and nobody else uses loopback ports here.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let base = format!("http://{address}");
        let app = slack.app();
        let process = std::process::Command::new(target().join("release/lockstep-sidecar"))
            .arg("serve")
            .env("RUST_LOG", "warn")
            .env("LOCKSTEP_LISTEN", address.to_string())
            .env("LOCKSTEP_ADMIN_LISTEN", "127.0.0.1:0")
            .env("LOCKSTEP_PUBLIC_URL", &base)
            .env("LOCKSTEP_SLACK_URL", slack.base_url())
            .env("LOCKSTEP_GITLAB_TOKEN", TOKEN)
            .env("SLACK_CLIENT_ID", &app.client_id)
            .env("SLACK_CLIENT_SECRET", &app.client_secret)
            .env("SLACK_SIGNING_SECRET", &app.signing_secret)
            .env("LOCKSTEP_TOKEN_KEY", "0123456789abcdef0123456789abcdef")
            .env("DATABASE_URL", copy.cluster.address(copy.database()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot run the sidecar")?;
        let webhook = Webhook::new(&base, PATIENCE).with_token(TOKEN);
        let mut scene = Self {
            process,
            base,
            slack,
            webhook,
            channels: Vec::new(),
        };
        scene.wait()?;
        scene.fill(&mut copy.client, plan)?;
        copy.settle()?;
        Ok(scene)
    }

    fn wait(&self) -> Result<()> {
        let http = Http::new(PATIENCE);
        let begun = Instant::now();
        let ready = format!("{}/readyz", self.base);
        while !http.get(&ready, &[]).is_ok_and(|reply| reply.status == 200) {
            ensure!(begun.elapsed() < PATIENCE, "the sidecar is not ready");
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Installs the app in each workspace through Slack's consent page, and connects its projects to that installation.
    fn fill(&mut self, client: &mut Client, plan: Plan) -> Result<()> {
        let mut project = 0;
        for workspace in 0..plan.workspaces {
            let team = self.slack.create_workspace(&format!("W{workspace}")).id;
            let user = self.slack.create_user(&team, "ada").id;
            self.slack.decide(Decision::Approve {
                tenant: team.clone(),
                user,
            });
            for place in 0..plan.projects {
                project += 1;
                match place {
                    0 => self.install(client, project)?,
                    _ => connect(client, &team, project)?,
                }
                let mut names = Vec::new();
                let mut ids = Vec::new();
                for number in 0..plan.channels {
                    let name = format!("p{project}-{number}");
                    ids.push(self.slack.create_channel(&team, &name).id);
                    names.push(format!("#{name}"));
                }
                let settings = json!({ "channels": names }).to_string();
                client.execute(
                    "select lockstep.set_slack_notifications(id, $2::text::jsonb) from integrations where project_id = $1",
                    &[&project, &settings],
                )?;
                self.channels.push(ids);
            }
        }
        client.batch_execute("update integrations set push_events = true")?;
        client.batch_execute("vacuum (analyze)")?;
        Ok(())
    }

    /// Like a browser: from the app's page through Slack's and back.
    fn install(&self, client: &mut Client, project: i64) -> Result<()> {
        let query = "select lockstep.issue_slack_install_ticket(project_id => $1)";
        let ticket: String = client.query_one(query, &[&project])?.get(0);
        let http = Http::new(PATIENCE);
        let page = http.get(&format!("{}/slack/install?ticket={ticket}", self.base), &[])?;
        let cookie = page.header("set-cookie").context("no cookie")?;
        let cookie = cookie.split(';').next().unwrap_or_default();
        let text = page.text();
        let (_, link) = text
            .split_once("class=\"button\" href=\"")
            .context("no button")?;
        let (link, _) = link.split_once('"').context("no end of a link")?;
        let consent = http.get(&link.replace("&amp;", "&"), &[])?;
        let back = consent.header("location").context("Slack leads nowhere")?;
        let installed = http.get(back, &[("cookie", cookie)])?;
        ensure!(installed.status == 200, "{}", installed.text());
        Ok(())
    }
}

/// Connects another project to a workspace that has the app.
fn connect(client: &mut Client, team: &str, project: i64) -> Result<()> {
    let connected = client.execute(
        "select lockstep.install_slack_workspace(s.team_id, s.team_name, s.user_id, s.bot_user_id, s.encrypted_bot_access_token,
                  s.encrypted_bot_access_token_iv, '{chat:write, chat:write.public, commands}', project_id => $2)
           from (select * from slack_integrations where team_id = $1 order by id limit 1) s",
        &[&team, &project],
    )?;
    ensure!(connected == 1, "{team} does not have the app");
    Ok(())
}
