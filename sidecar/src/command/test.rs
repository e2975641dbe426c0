//! Sends a test message to each channel of a project, and reports Slack's responses.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;

use super::given::{Answering, Command, Given};
use super::state::App;
use super::status;
use crate::database::{Standing, Which};
use crate::error::Error;
use crate::slack::{Reply, advice, code, escape, shorten};

pub(super) const COMMAND: Command = Command {
    name: "test",
    usage: "<alias> test` sends a message to each channel of a project, and shows which cannot be reached",
    run: test,
};

/// After this time the user gets what is known by then.
const PATIENCE: Duration = Duration::from_secs(15);

const LOOK: Duration = Duration::from_millis(150);

fn test<'a>(app: &'a App, given: &'a Given) -> Answering<'a> {
    Box::pin(async move {
        let slash = &given.slash.command;
        let Some(alias) = given.alias.as_deref() else {
            return Ok(Reply::new(format!(
                "Which one? For example {}.",
                code(&format!("{slash} group/project test"))
            )));
        };
        let tenant = given.slash.owner.tenant();
        let found = app.database.integrations(tenant, Which::Alias(alias), 1);
        let found = found.await?;
        let Some(integration) = found.first() else {
            return Ok(status::not_found(alias, slash));
        };
        let user = given.slash.user.as_str();
        let is_manager = app.managers.contains(user);
        let tested = app
            .database
            .test_integration(tenant, integration.id, user, is_manager);
        let tested = match tested.await {
            Err(error) if error.has_code(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                return Ok(Reply::new(
                    ":no_entry: Only users who connected the project, or managers of the app, may send test messages to its channels.",
                ));
            }
            // The list of integrations has shown that it is attached.
            Err(error) if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => Vec::new(),
            tested => tested?,
        };
        if tested.is_empty() {
            return Ok(Reply::new(
                "No channels are chosen yet. Choose some in the App Home, or in the integration's settings.",
            ));
        }
        let ids: Vec<i64> = tested.iter().filter_map(|(id, _)| *id).collect();
        let standings = ended(app, &ids).await?;
        let lines = tested.iter().filter_map(|(id, channel)| {
            let delivery = (*id)?;
            let standing = standings.iter().find(|it| it.delivery == delivery);
            Some(line(channel, standing))
        });
        let left_out = tested.iter().filter(|(id, _)| id.is_none());
        let left_out: Vec<&str> = left_out.map(|(_, channel)| channel.as_str()).collect();
        Ok(Reply::new(format!(
            "*{}*\n{}{}",
            escape(&shorten(alias, 100)),
            lines.collect::<String>(),
            untried(&left_out)
        )))
    })
}

/// The state of the messages once all have finished, or after the timeout.
async fn ended(app: &App, ids: &[i64]) -> Result<Vec<Standing>, Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        let standings = app.database.delivery_standings(ids).await?;
        let is_waiting = standings.iter().any(|it| it.status == "waiting");
        if !is_waiting || Instant::now() >= until {
            return Ok(standings);
        }
        sleep(LOOK).await;
    }
}

/// The maximum number of untested channels that are named.
const MOST_NAMED: usize = 10;

/// Slack is not flooded for a test.
fn untried(channels: &[&str]) -> String {
    if channels.is_empty() {
        return String::new();
    }
    let named = channels.iter().take(MOST_NAMED);
    let named: Vec<String> = named.map(|channel| code(&shorten(channel, 80))).collect();
    let more = match channels.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        ":black_small_square: Not tried, because a test only uses the first ten channels: {}{more}\n",
        named.join(", ")
    )
}

fn line(channel: &str, standing: Option<&Standing>) -> String {
    let channel = code(&shorten(channel, 80));
    match standing {
        Some(it) if it.status == "delivered" => {
            format!(":white_check_mark: {channel} received it\n")
        }
        Some(it) if it.status == "failed" => {
            let error = it.error.as_deref().unwrap_or_default();
            format!(":x: {channel}: {}\n", advice(error, it.needed.as_deref()))
        }
        _ => format!(
            ":hourglass_flowing_sand: {channel} has not received it yet; it is waiting for its turn\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{line, untried};
    use crate::database::Standing;

    #[test]
    fn channels_are_told_apart() {
        let standing = |status: &str, error: Option<&str>| Standing {
            delivery: 1,
            status: status.to_owned(),
            error: error.map(str::to_owned),
            needed: None,
        };
        let delivered = line("#a", Some(&standing("delivered", None)));
        assert_eq!(delivered, ":white_check_mark: `#a` received it\n");
        let failed = line("#b", Some(&standing("failed", Some("not_in_channel"))));
        assert!(
            failed.starts_with(":x: `#b`: ") && failed.contains("/invite"),
            "{failed}"
        );
        for unknown in [None, Some(standing("waiting", None))] {
            assert!(
                line("<!here>", unknown.as_ref()).contains("`&lt;!here&gt;` has not received it")
            );
        }
    }

    #[test]
    fn channels_that_are_not_tried_are_told() {
        assert_eq!(untried(&[]), "");
        assert!(untried(&["#x", "<!here>"]).ends_with(": `#x`, `&lt;!here&gt;`\n"));
        let many = ["#many"; 150];
        let told = untried(&many);
        assert!(
            told.ends_with("`#many` and 140 more\n") && told.len() < 500,
            "{told}"
        );
    }
}
