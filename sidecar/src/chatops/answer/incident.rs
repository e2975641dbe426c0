//! `incident`: while one with severity 1 or 2 is open, no flag is changed in production.

use serde_json::Value;

use crate::chatops::announce;
use crate::chatops::arguments::Incident;
use crate::chatops::environment::{Environment, Name, each};
use crate::chatops::given::Given;
use crate::chatops::guard;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::Answer;
use crate::chatops::page::plain;

pub(super) async fn answer(given: &Given<'_>, command: Incident) -> Result<Answer, Answer> {
    match command {
        Incident::List(looked) => {
            let environments = given.environments(looked.environments)?;
            let answers = each(
                &environments,
                |it| async move { it.database.incidents().await },
            );
            let mut answer = Answer::default();
            for (environment, answered) in answers.await {
                match answered {
                    Ok(list) => say(&mut answer, environment.text(), &list),
                    Err(error) => {
                        answer.say(Outcome::of_error(environment, &error).silence(environment));
                    }
                }
            }
            Ok(answer)
        }
        Incident::Declare {
            title,
            severity,
            environments,
        } => {
            let environments = given.environments(environments)?;
            let title = title.join(" ");
            let answers = each(&environments, |it| {
                let (command, title) = (given.record(it.name), title.clone());
                async move {
                    it.database
                        .declare_incident(&command, &title, severity)
                        .await
                }
            })
            .await;
            let changes = answers
                .into_iter()
                .map(|(name, it)| (name, Outcome::of_change(name, it)));
            let said = |environment: Name, result: &Value| {
                let holds = match (severity, environment) {
                    (1 | 2, Name::Production) => "no flag can be changed there until it is closed",
                    (1 | 2, _) => "it blocks nothing, because flags are only blocked in production",
                    _ => "it blocks nothing",
                };
                format!(
                    "incident {} of severity {severity} is open: {holds}",
                    result["id"]
                )
            };
            Ok(announce::changes(
                given,
                changes.collect(),
                "incident list",
                said,
            ))
        }
        Incident::Close {
            incident,
            environments,
        } => {
            let environments: Vec<Environment> = given.environments(environments)?;
            // Closing one allows changes in production. Declaring one is possible in any channel.
            guard::check_channel(given, &environments)?;
            let answers = each(&environments, |it| {
                let command = given.record(it.name);
                async move { it.database.close_incident(&command, incident).await }
            })
            .await;
            let changes = answers
                .into_iter()
                .map(|(name, it)| (name, Outcome::of_change(name, it)));
            let said = |_: Name, result: &Value| {
                let title = result["title"].as_str().unwrap_or_default();
                format!("incident {incident} is closed: {}", plain(title))
            };
            Ok(announce::changes(
                given,
                changes.collect(),
                "incident list",
                said,
            ))
        }
    }
}

fn say(answer: &mut Answer, environment: &str, list: &Value) {
    let incidents = list.as_array().map_or(&[][..], Vec::as_slice);
    if incidents.is_empty() {
        answer.say(format!("*{environment}*: no incident is open"));
        return;
    }
    answer.say(format!("*{environment}*"));
    for incident in incidents {
        let text = |key: &str| plain(incident[key].as_str().unwrap_or_default());
        answer.say(format!(
            "• {} of severity {}, since {} UTC by {}: {}",
            incident["id"],
            incident["severity"],
            text("declared_at"),
            text("declared_by"),
            text("title")
        ));
    }
}
