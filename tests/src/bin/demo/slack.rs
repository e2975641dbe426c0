//! The Slack app: a sidecar between the demo's database, a fake Slack and a stand-in for GitLab's own part of the app, all on
//! this machine. It is installed for two projects, each runs a command, and then it keeps running, to be tried out.

use std::io::IsTerminal;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{GitLab, Webhook, push};
use lockstep_tests::http::Http;
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Caller, FakeSlack, User, Workspace};
use lockstep_tests::target;
use postgres::Client;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::place::Place;
use crate::text::{print_table, print_wrapped};

const PATIENCE: Duration = Duration::from_secs(30);
const COMMANDS: &str = "/api/v4/slack/trigger";

/// The port that people try first.
const USUAL_PORT: u16 = 8080;

pub(crate) struct Served {
    sidecar: Sidecar,
    slack: FakeSlack,
    _gitlab: GitLab,
    team: Workspace,
    user: User,
    /// The alias of the project that was connected last.
    alias: String,
}

/// A sidecar that ends with the demo.
struct Sidecar {
    process: Child,
    base: String,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended already, by the same signal.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns what keeps running, and how many rows of the workspace differ.
pub(crate) fn run(place: &Place, client: &mut Client) -> Result<(Served, i64)> {
    println!();
    println!("7. Slack: one workspace, two projects");
    for statement in [
        "create extension lockstep_slack",
        "select feature, status from lockstep.attach_slack()",
    ] {
        println!("    {statement};");
        client.batch_execute(statement)?;
    }
    let slack = FakeSlack::start(App::default())?;
    let team = slack.create_workspace("Acme");
    let user = slack.create_user(&team.id, "ada");
    let gitlab = GitLab::start(slack.app())?;
    gitlab.link(&team.id, &user.id, &user.name);
    let sidecar = Sidecar::start(place, &slack, &gitlab)?;
    let mut alias = String::new();
    for project in [1_i64, 2] {
        let ticket = format!("select lockstep.issue_slack_install_ticket(project_id => {project})");
        println!("    {ticket};");
        let ticket: String = client.query_one(&ticket, &[])?.get(0);
        install(&sidecar.base, &ticket)?;
        let query = "select alias from slack_integrations where project_id = $1";
        alias = client.query_one(query, &[&project])?.get(0);
        gitlab.connect(&team.id, &alias, &alias);
    }
    let rows = "select alias, team_id, user_id, left(encode(encrypted_bot_access_token, 'hex'), 12), updated_at::time(0)::text
                  from slack_integrations order by id";
    let mut table = vec![
        ["alias", "workspace", "installed by", "token", "updated"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for row in client.query(rows, &[])? {
        table.push((0..5).map(|column| row.get(column)).collect());
    }
    print_table(&table);
    let query = "select count(*) from lockstep.slack_workspace_drift()";
    let wrong = client.query_one(query, &[])?.get(0);
    let served = Served {
        sidecar,
        slack,
        _gitlab: gitlab,
        team,
        user,
        alias,
    };
    for command in ["status", "issue show 1"] {
        served.give_command(command)?;
    }
    served.tell(client)?;
    Ok((served, wrong))
}

/// Follows the browser's path: from the app to Slack, which approves, and back.
fn install(base: &str, ticket: &str) -> Result<()> {
    let http = Http::new(PATIENCE);
    let begun = http.get(&format!("{base}/slack/install?ticket={ticket}"), &[])?;
    let cookie = begun.header("set-cookie").context("no cookie")?;
    let cookie = cookie.split(';').next().unwrap_or_default();
    let text = begun.text();
    let (_, rest) = text
        .split_once("class=\"button\" href=\"")
        .context("the app leads nowhere")?;
    let link = rest.split('"').next().unwrap_or_default();
    let consent = http.get(&link.replace("&amp;", "&"), &[])?;
    let back = consent.header("location").context("Slack leads nowhere")?;
    let page = http.get(back, &[("cookie", cookie)])?;
    ensure!(
        page.status == 200,
        "the installation ended with {}",
        page.status
    );
    Ok(())
}

impl Sidecar {
    fn start(place: &Place, slack: &FakeSlack, gitlab: &GitLab) -> Result<Self> {
        let app = slack.app();
        let listener = TcpListener::bind(("127.0.0.1", USUAL_PORT));
        let listener = listener.or_else(|_| TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        drop(listener);
        let base = format!("http://{address}");
        let gitlab = gitlab.base_url();
        println!("    lockstep-sidecar serve --listen {address} --gitlab-url {gitlab}");
        let process = Command::new(target().join("debug/lockstep-sidecar"))
            .args(["serve", "--listen", &address.to_string()])
            .args(["--gitlab-url", &gitlab])
            .env("DATABASE_URL", place.address())
            .env("LOCKSTEP_PUBLIC_URL", &base)
            .env("LOCKSTEP_ADMIN_LISTEN", "127.0.0.1:0")
            .env("LOCKSTEP_SLACK_URL", slack.base_url())
            .env("SLACK_CLIENT_ID", &app.client_id)
            .env("SLACK_CLIENT_SECRET", &app.client_secret)
            .env("SLACK_SIGNING_SECRET", &app.signing_secret)
            .env(
                "LOCKSTEP_TOKEN_KEY",
                "a key of the demo, of no use elsewhere",
            )
            .env("LOCKSTEP_VIEWER_PASSWORD", VIEWER_PASSWORD)
            .env("LOCKSTEP_GITLAB_TOKEN", HOOK_TOKEN)
            .env("RUST_LOG", "lockstep_sidecar=warn")
            .stdin(Stdio::null())
            .spawn()
            .context("cannot run lockstep-sidecar")?;
        let mut sidecar = Self { process, base };
        let http = Http::new(PATIENCE);
        let begun = Instant::now();
        let is_ready = |sidecar: &Self| {
            let ready = http.get(&format!("{}/readyz", sidecar.base), &[]);
            ready.is_ok_and(|ready| ready.status == 200)
        };
        while !is_ready(&sidecar) {
            let ended = sidecar.process.try_wait()?;
            ensure!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "the sidecar does not serve"
            );
            sleep(Duration::from_millis(50));
        }
        Ok(sidecar)
    }
}

const VIEWER_PASSWORD: &str = "see the demo";

/// A webhook's secret token.
const HOOK_TOKEN: &str = "the token of the demo's webhook";

const HOOKS: &str = "/gitlab/hooks";

impl Served {
    /// A command of ours or of GitLab's.
    fn give_command(&self, command: &str) -> Result<()> {
        let caller = Caller::new(&self.sidecar.base, self.slack.app());
        let origin = Origin {
            team_id: Some(self.team.id.clone()),
            user_id: self.user.id.clone(),
            ..Origin::default()
        };
        let text = format!("{} {command}", self.alias);
        println!("    /gitlab {text}");
        let reply = caller.command(COMMANDS, &origin, "/gitlab", &text)?;
        let message = reply.json()?;
        let card = &message["attachments"][0];
        let parts = [&message["text"], &card["pretext"], &card["title"]];
        for line in parts
            .into_iter()
            .flat_map(|it| it.as_str().unwrap_or_default().lines())
        {
            print_wrapped(6, line);
        }
        Ok(())
    }

    /// A push to project 2, which notifies a channel.
    fn tell(&self, client: &mut Client) -> Result<()> {
        let channel = self.slack.create_channel(&self.team.id, "general");
        client.batch_execute("update integrations set push_events = true, pipeline_events = true where project_id = 2 and type_new = 'Integrations::GitlabSlackApplication'")?;
        let set = "select lockstep.set_slack_notifications(i.id, '{\"channels\": \"#general\"}')
                     from integrations i where i.project_id = 2 and i.type_new = 'Integrations::GitlabSlackApplication'";
        client.query(set, &[])?;
        println!(
            "    select lockstep.set_slack_notifications(integration, '{{\"channels\": \"#general\"}}');"
        );
        println!("    POST {HOOKS}: Grace Hopper pushes to project 2");
        let webhook = Webhook::new(&self.sidecar.base, PATIENCE).with_token(HOOK_TOKEN);
        let taken = webhook.send(&push(2, "Make the tea before the cup"))?;
        ensure!(
            taken.status == 200,
            "the webhook was answered with {}",
            taken.status
        );
        let begun = Instant::now();
        let messages = loop {
            let messages = self.slack.messages(&channel.id);
            if !messages.is_empty() || begun.elapsed() > PATIENCE {
                break messages;
            }
            sleep(Duration::from_millis(20));
        };
        let message = messages.first().context("nobody was told of it")?;
        let attachment = &message.sent["attachments"][0];
        let text = attachment["blocks"][0]["text"]["text"].as_str();
        for line in text.unwrap_or(&message.text).lines() {
            print_wrapped(6, &format!("#general: {line}"));
        }
        Ok(())
    }

    /// Keeps running until interrupted, unless there is no terminal.
    pub(crate) fn stay(self) -> Result<()> {
        let is_once = std::env::var("ONCE").is_ok_and(|once| !once.is_empty() && once != "0");
        if is_once || !std::io::stdout().is_terminal() {
            return Ok(());
        }
        let is_interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&is_interrupted))?;
        }
        let base = &self.sidecar.base;
        println!();
        println!("The app is served at {base}/");
        println!(
            "(any name and the password \"{VIEWER_PASSWORD}\" show its workspaces). A signed command:"
        );
        println!();
        println!(
            "body='team_id={}&user_id={}&command=/gitlab&text={} status'",
            self.team.id, self.user.id, self.alias
        );
        println!("at=$(date +%s)");
        println!(
            "curl -s {base}{COMMANDS} --data \"$body\" -H \"X-Slack-Request-Timestamp: $at\" -H \"X-Slack-Signature: v0=$(printf 'v0:%s:%s' \
             \"$at\" \"$body\" | openssl dgst -sha256 -hmac '{}' | sed 's/.* //')\"",
            self.slack.app().signing_secret
        );
        println!();
        println!("A webhook of GitLab, and {base}/status, where it is counted:");
        println!();
        println!(
            "curl -s {base}{HOOKS} -H 'X-Gitlab-Token: {HOOK_TOKEN}' -d '{{\"object_kind\": \"pipeline\", \"project\": {{\"id\": 2, \"default_branch\": \"main\"}}, \
             \"object_attributes\": {{\"id\": 7, \"ref\": \"main\", \"status\": \"failed\"}}}}'",
        );
        println!();
        println!("Ctrl-C stops all; make demo ONCE=1 does not stay.");
        while !is_interrupted.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}
