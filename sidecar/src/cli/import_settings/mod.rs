//! The command `import-settings`: converts channels and filters that GitLab stores encrypted into settings that the database can
//! read.

mod properties;

use std::fmt;
use std::process::ExitCode;

use clap::Args;

use crate::connection::{Address, Connection};
use crate::database::{HostProperties, SlackDatabase};
use crate::error::Error;
use crate::text::say;
use crate::token::{TokenKeyArguments, TokenKeys};

use properties::{in_place_of_all, settings_of};

const IMPORT_EXAMPLES: &str = "\
Exit status:
  0  all that could be imported is
  1  some could not, and why is printed
  2  wrong usage, or the database refused or could not be reached";

/// Import the channels and filters that GitLab stores for the Slack app
///
/// GitLab encrypts them, so that the database cannot read them. With GitLab's db_key_base as --token-key they become settings of
/// lockstep, as set by lockstep.set_slack_notifications. Integrations that already have settings keep them. GitLab's properties
/// are not changed. The command can be repeated, and needs more rights than `serve`: on GitLab's tables, and on these functions.
#[derive(Args, Debug)]
#[command(after_help = IMPORT_EXAMPLES)]
pub(crate) struct ImportSettings {
    #[command(flatten)]
    pub(crate) keys: TokenKeyArguments,

    /// Replace existing settings, also where GitLab has none; settings that GitLab does not know are kept
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Only report how many there are
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// The schema of GitLab's tables
    #[arg(long, env = "LOCKSTEP_SCHEMA", default_value = "public")]
    pub(crate) schema: String,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The number of integrations read at a time.
const MANY: i32 = 500;

#[derive(Default)]
struct Counts {
    imported: usize,
    /// They already have settings.
    kept: usize,
    /// GitLab has nothing that corresponds to a setting.
    empty: usize,
    /// Errors of those that could not be imported, reported at the end so that nobody overlooks them.
    failed: Vec<String>,
}

impl Counts {
    fn fail(&mut self, integration: i64, why: impl fmt::Display) {
        self.failed
            .push(format!("integration {integration}: {why}\n"));
    }
}

pub(crate) async fn run(arguments: &ImportSettings) -> Result<ExitCode, Error> {
    let mut problems = Vec::new();
    let Some(keys) = TokenKeys::configured(&arguments.keys, &mut problems) else {
        return Err(Error::Config(problems));
    };
    let address = Address::new(arguments.connection.database_url.as_ref())?;
    let database = SlackDatabase::new(&address, &arguments.schema, 1)?;
    let mut counts = Counts::default();
    let mut after = 0;
    loop {
        let page = database.host_properties(after, MANY).await?;
        for of_integration in &page {
            import(&database, &keys, of_integration, arguments, &mut counts).await?;
        }
        match page.last() {
            Some(last) => after = last.integration,
            None => break,
        }
    }
    let Counts {
        imported,
        kept,
        empty,
        failed,
    } = counts;
    let would = if arguments.dry_run {
        "would be imported"
    } else {
        "imported"
    };
    say(&failed.concat());
    say(&format!(
        "{imported} {would}, {kept} already have settings, {empty} have none in GitLab, {} failed\n",
        failed.len()
    ));
    Ok(match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// An error in one of them is reported, and does not keep the others from being imported.
async fn import(
    database: &SlackDatabase,
    keys: &TokenKeys,
    of: &HostProperties,
    arguments: &ImportSettings,
    counts: &mut Counts,
) -> Result<(), Error> {
    let integration = of.integration;
    if of.has_settings && !arguments.overwrite {
        counts.kept += 1;
        return Ok(());
    }
    let Ok((properties, _)) = keys.open(&of.sealed) else {
        counts.fail(
            integration,
            "none of the keys decrypts its properties in GitLab",
        );
        return Ok(());
    };
    let Some(settings) = settings_of(&properties) else {
        counts.fail(
            integration,
            "its properties in GitLab are not a JSON object",
        );
        return Ok(());
    };
    let settings = match of.has_settings {
        true => in_place_of_all(settings),
        false if settings.is_empty() => {
            counts.empty += 1;
            return Ok(());
        }
        false => settings,
    };
    if arguments.dry_run {
        counts.imported += 1;
        return Ok(());
    }
    match database
        .set_notifications(integration, &settings.into())
        .await
    {
        Ok(()) => counts.imported += 1,
        Err(error) if error.is_lost_connection() => return Err(error),
        Err(error) => counts.fail(integration, error.report()),
    }
    Ok(())
}
