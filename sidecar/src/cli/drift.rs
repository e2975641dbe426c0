//! The command `drift`: which rows are not what they should be, and what to do about it.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::connection::{Address, Connection};
use crate::database::{self, SlackDatabase};
use crate::error::Error;
use crate::text::{duration, number, say};

const EXIT: &str = "\
Exit status:
  0  no row differs
  1  some do, or some could not be counted; what to do about it is printed
  2  wrong usage or configuration, or the database does not answer";

/// Count the rows that are not what they should be
///
/// Of each cache column, and of Slack's integrations. It reads whole tables, and keeps the count for those who only look: the status
/// page, metrics and --last. Needs a role that is a member of lockstep_sidecar or lockstep_admin.
#[derive(Args, Debug)]
#[command(after_help = EXIT)]
pub(crate) struct Drift {
    /// Show the last count instead, whoever made it
    #[arg(long)]
    last: bool,

    /// The schema of the host's tables
    #[arg(long, env = "LOCKSTEP_SCHEMA", default_value = "public")]
    schema: String,

    #[command(flatten)]
    connection: Connection,
}

/// Large tables take their time; whoever waits may interrupt.
const LONGEST: Duration = Duration::from_secs(86_400);

pub(crate) async fn run(arguments: &Drift) -> Result<ExitCode, Error> {
    let address = Address::new(arguments.connection.database_url.as_ref())?;
    let database = SlackDatabase::new(&address, &arguments.schema, 1)?;
    if !arguments.last {
        database.within(LONGEST).count_drift().await?;
    }
    let counted = database.drift().await?;
    if counted.is_empty() {
        say("There is nothing that could differ: no cache column is attached.\n");
    }
    let mut is_well = true;
    for it in &counted {
        say(&line(it));
        is_well &= it.rows == Some(0);
    }
    Ok(match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn line(of: &database::Drift) -> String {
    let what = &of.what;
    let Some((rows, age)) = of.rows.zip(of.age) else {
        return format!(
            "{what}: never counted\n  select target_table, target_column, state from lockstep.cache_columns tells whether it can be\n"
        );
    };
    let more = if of.is_more { " and more" } else { "" };
    let differ = if rows == 1 {
        "row differs"
    } else {
        "rows differ"
    };
    let ago = match age < Duration::from_secs(60) {
        true => String::new(),
        false => format!(", counted {} ago", duration(age)),
    };
    let remedy = match rows {
        0 => String::new(),
        _ => format!("  {}\n", of.remedy()),
    };
    format!("{what}: {}{more} {differ}{ago}\n{remedy}", number(rows))
}
