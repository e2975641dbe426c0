//! The command `check`: finds errors in the settings of `serve` in advance.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::chatops::{Environment, Environments};
use crate::database::{OfHost, SlackDatabase};
use crate::error::Error;
use crate::interrupt::Finishing;
use crate::late::Late;
use crate::pass_through::PassThrough;
use crate::serve::{Config, Serve, misfit};
use crate::slack::SlackClient;
use crate::slack::Tenant;
use crate::spool::{self, Found};
use crate::text::say;
use crate::token::Sealed;

const CHECK_EXAMPLES: &str = "\
Exit status:
  0  all is well
  1  something is wrong, and what to do about it is printed
  2  wrong usage";

/// Check the settings of serve
///
/// Checks the settings and the spool, then calls the database (version, rights, attached tables, whether the keys decrypt its
/// tokens), GitLab and Slack. Changes nothing.
#[derive(Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct Check {
    /// Check the settings only
    #[arg(long)]
    pub(crate) offline: bool,

    #[command(flatten)]
    pub(crate) serve: Serve,
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// Enough to see whether the keys are right.
const SOME: i32 = 100;

pub(crate) async fn run(arguments: &Check) -> Result<ExitCode, Error> {
    let config = match Config::new(&arguments.serve) {
        Ok(config) => config,
        Err(problems) => {
            for problem in &problems {
                say(&format!("wrong: {problem}\n"));
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    say("ok: the settings\n");
    if arguments.offline {
        return Ok(ExitCode::SUCCESS);
    }
    let mut findings = Findings::default();
    ask_spool(&config, &mut findings).await;
    let database = SlackDatabase::new(&config.address, &config.schema, 1)?;
    let server = config.address.server();
    let asking = ask_database(&config, &database, &mut findings);
    match timeout(TIMEOUT, asking).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let report = error.report().replace('\n', "\n  ");
            let cause = report.trim_start_matches("error: ");
            match error {
                // It names the server itself.
                Error::Connect { .. } => findings.wrong(cause),
                _ => findings.wrong(&format!("the database at {server}: {cause}")),
            }
        }
        Err(_) => findings.wrong(&format!("the database at {server} does not answer")),
    }
    ask_environments(&config, &mut findings).await?;
    let slack = SlackClient::new(&config.slack_url)?;
    ask_gitlab(&config, database, slack.clone(), &mut findings).await?;
    match slack.test().await {
        Ok(()) => findings.fine(&format!("Slack answers at {}", config.slack_url)),
        Err(error) => findings.wrong(&format!(
            "Slack at {}: {error}. The program needs https access, or a proxy in HTTPS_PROXY",
            config.slack_url
        )),
    }
    Ok(findings.status())
}

#[derive(Default)]
pub(crate) struct Findings {
    has_wrong: bool,
}

impl Findings {
    pub(crate) fn status(&self) -> ExitCode {
        match self.has_wrong {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }

    pub(crate) fn fine(&mut self, text: &str) {
        say(&format!("ok: {text}\n"));
    }

    /// For optional features.
    pub(crate) fn aside(&mut self, text: &str) {
        say(&format!("note: {text}\n"));
    }

    pub(crate) fn wrong(&mut self, text: &str) {
        self.has_wrong = true;
        say(&format!("wrong: {text}\n"));
    }
}

/// Whether its directory exists, and its file can be read; the program that serves may be using it.
async fn ask_spool(config: &Config, findings: &mut Findings) {
    let Some(spool) = &config.spool else {
        findings.aside("webhooks that arrive while the database is away are refused, and GitLab does not send them again: --spool is not set");
        return;
    };
    let directory = spool.directory.display();
    if !spool.directory.is_dir() {
        findings.wrong(&format!("there is no directory {directory} for the spool: create it, for the user that runs serve alone"));
        return;
    }
    match spool::look(&spool.directory).await {
        Found::Waiting(0) => findings.fine(&format!("the spool in {directory}")),
        Found::Waiting(webhooks) => findings.fine(&format!(
            "the spool in {directory}; webhooks that wait in it: {webhooks}"
        )),
        Found::InUse => findings.fine(&format!("the spool in {directory}, which a process uses")),
        Found::Unclosed => findings.fine(&format!(
            "the spool in {directory}, which was not closed: serve repairs it when it starts, or says why it cannot"
        )),
        Found::Unknown(reason) => findings.wrong(&format!(
            "the spool in {directory} cannot be looked at: {reason}"
        )),
        Found::Corrupt(reason) => findings.wrong(&format!(
            "the spool in {directory} cannot be read: {reason}. Move its file away, and keep it: webhooks may be in it"
        )),
    }
}

/// Whether GitLab accepts what is passed on to it.
async fn ask_gitlab(
    config: &Config,
    database: SlackDatabase,
    slack: SlackClient,
    findings: &mut Findings,
) -> Result<(), Error> {
    let late = Arc::new(Late {
        database,
        slack,
        finishing: Finishing::default(),
    });
    let secret = config.signing_secret.clone();
    let Some(pass_through) = PassThrough::new(&config.pass_through, late, secret)? else {
        findings.aside("GitLab's own commands do not work in Slack: --gitlab-url is not set");
        return Ok(());
    };
    for (url, probed) in pass_through.probe().await {
        match probed {
            Ok(()) => findings.fine(&format!(
                "GitLab responds at {url} and has the same signing secret; the first command will show whether it has the same verification token"
            )),
            Err(trouble) => findings.wrong(&format!(
                "GitLab at {url}: {trouble}. {}",
                trouble.hint().unwrap_or_default()
            )),
        }
    }
    Ok(())
}

/// Whether chatops can reach the databases it changes.
async fn ask_environments(config: &Config, findings: &mut Findings) -> Result<(), Error> {
    let environments = Environments::new(&config.chatops.environments, &config.schema)?;
    for it in environments.all() {
        let name = it.name.text();
        match timeout(TIMEOUT, it.database.functions_out_of_reach()).await {
            Ok(Ok(functions)) if functions.is_empty() => {
                findings.fine(&format!("the environment {name}"));
                ask_deployments(it, findings).await;
            }
            Ok(Ok(functions)) => findings.wrong(&format!(
                "the environment {name}: its role may not call {}, or the extension is missing or older: grant lockstep_chatops to that role",
                functions.join(", ")
            )),
            Ok(Err(error)) => findings.wrong(&format!(
                "the environment {name}: {}",
                error.report().replace('\n', "\n  ")
            )),
            Err(_) => findings.wrong(&format!("the environment {name} does not answer")),
        }
    }
    let Some(group) = &config.chatops.group else {
        return Ok(());
    };
    if environments.is_empty() {
        return Ok(());
    }
    let database = SlackDatabase::new(&config.address, &config.schema, 1)?;
    let nobody = Tenant {
        team: "",
        enterprise: None,
    };
    match timeout(TIMEOUT, database.is_chatops_member(nobody, "", group)).await {
        Ok(Ok(_)) => findings.fine(&format!(
            "the group {group}, whose members may give commands"
        )),
        Ok(Err(error)) => findings.wrong(&format!(
            "the group {group}, whose members may give commands: {}",
            error.report().replace('\n', "\n  ")
        )),
        Err(_) => findings.wrong("the members of the chatops group could not be looked up in time"),
    }
    Ok(())
}

/// Whether GitLab's tables have what two commands read. Not every instance has deployments.
async fn ask_deployments(it: &Environment, findings: &mut Findings) {
    let any = OfHost::Commit("0000000");
    if let Ok(Err(error)) = timeout(TIMEOUT, it.database.of_host(any)).await {
        findings.aside(&format!(
            "auto_deploy and release check do nothing in {}: {}",
            it.name.text(),
            error.report().replace('\n', "\n  ")
        ));
    }
}

async fn ask_database(
    config: &Config,
    database: &SlackDatabase,
    findings: &mut Findings,
) -> Result<(), Error> {
    let condition = database.condition().await?;
    let version = condition.extension;
    if let Some(refusal) = condition.writes.refusal() {
        findings.wrong(&format!(
            "the database at {} is {refusal}",
            config.address.server()
        ));
        return Ok(());
    }
    findings.fine(&format!("the database at {}", config.address.server()));
    if let Some(misfit) = misfit(&version) {
        findings.wrong(&misfit);
        return Ok(());
    }
    findings.fine(&format!("the extension, version {version}"));
    let out_of_reach = database.functions_out_of_reach().await?;
    if !out_of_reach.is_empty() {
        findings.wrong(&format!(
            "its role may not call {}: grant lockstep_sidecar to that role",
            out_of_reach.join(", ")
        ));
        return Ok(());
    }
    findings.fine("the rights of its role");
    let tokens = match database.tokens_after("", SOME).await {
        Err(error) if error.has_code(&SqlState::INVALID_SCHEMA_NAME) => {
            findings.wrong(&format!("there is no schema {}", config.schema));
            return Ok(());
        }
        Err(error) if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
            findings.wrong(&format!(
                "the tables of schema {} are not attached: select * from lockstep.attach_slack('{0}')",
                config.schema
            ));
            return Ok(());
        }
        tokens => tokens?,
    };
    findings.fine(&format!("GitLab's tables in schema {}", config.schema));
    let is_closed = |sealed: &Option<Sealed>| {
        let sealed = sealed.as_ref();
        sealed.is_some_and(|sealed| config.token_keys.open(sealed).is_err())
    };
    let closed = tokens
        .iter()
        .filter(|tokens| is_closed(&tokens.token) || is_closed(&tokens.refresh));
    match (tokens.len(), closed.count()) {
        (0, _) => findings.fine("the token keys: no workspace has a token yet"),
        (all, 0) => findings.fine(&format!("the token keys decrypt the tokens of {all} workspaces")),
        (all, closed) => findings.wrong(&format!(
            "the token keys do not decrypt the tokens of {closed} of {all} workspaces: the key is wrong, or a previous one is missing"
        )),
    }
    Ok(())
}
