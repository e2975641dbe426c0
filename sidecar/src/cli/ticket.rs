//! The command `ticket`: a link with which a project's maintainer installs the Slack app for it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio_postgres::error::SqlState;

use crate::connection::{Address, Connection};
use crate::database::SlackDatabase;
use crate::error::Error;
use crate::http::path::INSTALL;
use crate::settings::PublicUrl;
use crate::text::{say, tell};

const EXAMPLES: &str = "\
Example:
  lockstep-sidecar ticket --project group/project --public-url https://slack.example

Exit status:
  0  the link is printed
  1  there is no such project, or the role may not issue tickets
  2  wrong usage or configuration";

/// Print the link with which a project's maintainer installs the Slack app for it
///
/// Whoever opens the link connects the project with a workspace of their own, and manages it in Slack from then on. It works once. The role
/// must be a member of lockstep_admin.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ticket {
    /// The full path of the project, or its id
    #[arg(long, value_name = "PATH")]
    project: String,

    /// What the project is called in slash commands; its path, if not given
    #[arg(long, value_parser = alias)]
    alias: Option<String>,

    /// Hours for which the link works
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=8_760))]
    valid_for: u16,

    /// The address under which browsers reach `serve`
    #[arg(long, value_name = "URL", env = "LOCKSTEP_PUBLIC_URL")]
    public_url: Option<String>,

    /// The schema of the host's tables
    #[arg(long, env = "LOCKSTEP_SCHEMA", default_value = "public")]
    schema: String,

    #[command(flatten)]
    connection: Connection,
}

/// In a command the alias is one word.
fn alias(text: &str) -> Result<String, String> {
    match text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        true => Err("it has a blank, and a command takes its first word alone".to_owned()),
        false => Ok(text.to_owned()),
    }
}

pub(crate) async fn run(arguments: &Ticket) -> Result<ExitCode, Error> {
    let mut problems = Vec::new();
    let Some(public_url) = PublicUrl::new(arguments.public_url.as_deref(), &mut problems) else {
        return Err(Error::Config(problems));
    };
    let address = Address::new(arguments.connection.database_url.as_ref())?;
    let database = SlackDatabase::new(&address, &arguments.schema, 1)?;
    let token = match issue(&database, arguments).await {
        Ok(Some(token)) => token,
        Ok(None) => {
            tell(&format!(
                "lockstep-sidecar: there is no project {}: give its full path, as in its address, or its id",
                arguments.project
            ));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) if error.has_code(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            tell(
                "lockstep-sidecar: the role may not issue tickets: grant lockstep_admin to it, or name another one with --database-url",
            );
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    say(&format!("{}?ticket={token}\n", public_url.page(INSTALL)));
    Ok(ExitCode::SUCCESS)
}

/// None, if there is no such project.
async fn issue(database: &SlackDatabase, arguments: &Ticket) -> Result<Option<String>, Error> {
    let project = match arguments.project.parse() {
        Ok(id) => Some(id),
        Err(_) => {
            database
                .project_id(arguments.project.trim_matches('/'))
                .await?
        }
    };
    let Some(project) = project else {
        return Ok(None);
    };
    let valid_for = Duration::from_secs(3_600 * u64::from(arguments.valid_for));
    let issued = database.issue_ticket(project, arguments.alias.as_deref(), valid_for);
    match issued.await {
        Err(error) if error.has_code(&SqlState::NO_DATA_FOUND) => Ok(None),
        issued => issued.map(Some),
    }
}
