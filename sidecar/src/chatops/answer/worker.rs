//! `workers`: the names of workers, and retiring old ones.

use serde_json::Value;

use crate::chatops::announce;
use crate::chatops::arguments::Workers;
use crate::chatops::environment::{Name, each};
use crate::chatops::given::Given;
use crate::chatops::guard;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::Answer;
use crate::slack::code;

pub(super) async fn answer(given: &Given<'_>, command: Workers) -> Result<Answer, Answer> {
    match command {
        Workers::Status(looked) => {
            let environments = given.environments(looked.environments)?;
            let answers = each(
                &environments,
                |it| async move { it.database.workers().await },
            );
            let mut answer = Answer::default();
            for (environment, answered) in answers.await {
                match answered {
                    Ok(list) => {
                        answer.say(format!("*{}*", environment.text()));
                        for worker in list.as_array().into_iter().flatten() {
                            answer.say(line(worker));
                        }
                    }
                    Err(error) => {
                        answer.say(Outcome::of_error(environment, &error).silence(environment));
                    }
                }
            }
            Ok(answer)
        }
        Workers::Retire {
            worker,
            environments,
        } => {
            let environments = given.environments(environments)?;
            guard::check_channel(given, &environments)?;
            let answers = each(&environments, |it| {
                let (command, worker) = (given.record(it.name), worker.clone());
                async move { it.database.retire_worker(&command, &worker).await }
            })
            .await;
            let changes = answers
                .into_iter()
                .map(|(name, it)| (name, Outcome::of_change(name, it)));
            let said = |_: Name, _: &Value| format!("{} is retired", code(&worker));
            Ok(announce::changes(
                given,
                changes.collect(),
                "workers status",
                said,
            ))
        }
    }
}

/// A worker in one line.
fn line(worker: &Value) -> String {
    let text = |key: &str| worker[key].as_str();
    let number = |key: &str| worker[key].as_i64().unwrap_or_default();
    let mut line = format!("• {}", code(text("worker").unwrap_or_default()));
    if let Some(new) = text("renamed_to") {
        line.push_str(&format!(" → {}", code(new)));
    }
    line.push_str(": ");
    line.push_str(&match (
        text("retired_at"),
        number("enqueued"),
        number("running"),
        number("dead"),
    ) {
        (Some(at), ..) => format!("retired at {at} UTC"),
        (None, 0, 0, 0) => match text("renamed_to") {
            Some(_) => "drained".to_owned(),
            None => "no job".to_owned(),
        },
        (None, enqueued, running, dead) => {
            format!("{enqueued} enqueued, {running} running, {dead} dead")
        }
    });
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::line;

    #[test]
    fn workers_are_told_apart() {
        for (worker, expected) in [
            (
                json!({"worker": "Old", "renamed_to": "New", "enqueued": 2, "running": 1, "dead": 0, "drained": false}),
                "• `Old` → `New`: 2 enqueued, 1 running, 0 dead",
            ),
            (
                json!({"worker": "Old", "renamed_to": "New", "enqueued": 0, "running": 0, "dead": 0, "drained": true}),
                "• `Old` → `New`: drained",
            ),
            (
                json!({"worker": "Old", "renamed_to": "New", "enqueued": 0, "running": 0, "dead": 0, "retired_at": "2026-01-02 03:04"}),
                "• `Old` → `New`: retired at 2026-01-02 03:04 UTC",
            ),
            (
                json!({"worker": "New", "enqueued": 0, "running": 0, "dead": 0}),
                "• `New`: no job",
            ),
        ] {
            assert_eq!(line(&worker), expected);
        }
    }
}
