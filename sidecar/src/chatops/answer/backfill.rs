//! `backfill`: runs of backfill jobs.

use serde_json::Value;

use crate::chatops::announce;
use crate::chatops::arguments::{Backfill, Run};
use crate::chatops::environment::{Name, each};
use crate::chatops::given::Given;
use crate::chatops::guard;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::Answer;
use crate::chatops::page::plain;
use crate::error::Error;
use crate::slack::code;

pub(super) async fn answer(given: &Given<'_>, command: Backfill) -> Result<Answer, Answer> {
    match command {
        Backfill::List(looked) => {
            let environments = given.environments(looked.environments)?;
            let answers = each(&environments, |it| async move {
                it.database.backfills(None).await
            })
            .await;
            Ok(listed(answers, None))
        }
        Backfill::Status(Run { run, environments }) => {
            let environments = given.environments(environments)?;
            let answers = each(&environments, |it| async move {
                it.database.backfills(Some(run)).await
            });
            Ok(listed(answers.await, Some(run)))
        }
        Backfill::Start {
            job,
            workers,
            environments,
        } => {
            let environments = given.environments(environments)?;
            guard::check_channel(given, &environments)?;
            let answers = each(&environments, |it| {
                let (command, job) = (given.record(it.name), job.clone());
                async move { it.database.start_backfill(&command, &job, workers).await }
            });
            Ok(changed(given, answers.await, begun))
        }
        Backfill::Pause(run) => control(given, run, "pause").await,
        Backfill::Resume(run) => control(given, run, "resume").await,
        Backfill::Retry(run) => control(given, run, "retry").await,
        Backfill::Cancel(run) => control(given, run, "cancel").await,
    }
}

async fn control(
    given: &Given<'_>,
    Run { run, environments }: Run,
    action: &'static str,
) -> Result<Answer, Answer> {
    let environments = given.environments(environments)?;
    guard::check_channel(given, &environments)?;
    let answers = each(&environments, |it| {
        let command = given.record(it.name);
        async move { it.database.control_backfill(&command, run, action).await }
    });
    let said = match action {
        "resume" | "retry" => begun,
        _ => line,
    };
    Ok(changed(given, answers.await, said))
}

fn changed(
    given: &Given<'_>,
    answers: Vec<(Name, Result<Value, Error>)>,
    said: fn(&Value) -> String,
) -> Answer {
    let changes = answers
        .into_iter()
        .map(|(name, it)| (name, Outcome::of_change(name, it)));
    announce::changes(given, changes.collect(), "backfill list", |_, run| {
        said(run)
    })
}

fn listed(answers: Vec<(Name, Result<Value, Error>)>, run: Option<i64>) -> Answer {
    let mut answer = Answer::default();
    for (environment, answered) in answers {
        let runs = match answered {
            Ok(runs) => runs,
            Err(error) => {
                answer.say(Outcome::of_error(environment, &error).silence(environment));
                continue;
            }
        };
        let total = runs["total"].as_u64().unwrap_or_default();
        let runs = runs["runs"].as_array().map_or(&[][..], Vec::as_slice);
        answer.say(match (runs.is_empty(), run) {
            (false, _) => format!("*{}*", environment.text()),
            (true, None) => format!("*{}*: no run", environment.text()),
            (true, Some(run)) => format!("*{}*: there is no run {run}", environment.text()),
        });
        for it in runs {
            answer.say(format!("• {}", line(it)));
            if run.is_some() {
                details(it).into_iter().for_each(|line| answer.say(line));
            }
        }
        let left = total.saturating_sub(u64::try_from(runs.len()).unwrap_or_default());
        if left > 0 {
            answer.say(format!("… and {left} earlier"));
        }
    }
    answer
}

/// A run whose workers start when this commits: that it has none yet is not worth mentioning.
fn begun(run: &Value) -> String {
    let mut run = run.clone();
    run["held_by"] = Value::Null;
    line(&run)
}

/// A run in one line.
fn line(run: &Value) -> String {
    let text = |key: &str| plain(run[key].as_str().unwrap_or_default());
    let mut line = format!(
        "run {} of {} on {}: {}",
        run["run"],
        text("job"),
        text("table"),
        text("status")
    );
    if let Some(percent) = run["percent"].as_f64() {
        line.push_str(&format!(", {percent} %"));
    }
    if let Some(held) = run["held_by"].as_str() {
        // A DBA would call the function; here it is a command.
        let resume = code(&format!("/chatops run backfill resume {}", run["run"]));
        let held = plain(held).replace("call lockstep.resume_backfill", &resume);
        line.push_str(&format!(", held: {held}"));
    }
    if let Some(error) = run["last_error"].as_str() {
        line.push_str(&format!(", last error: {}", plain(error)));
    }
    line
}

/// Further details of a run.
fn details(run: &Value) -> Vec<String> {
    let number = |key: &str| run[key].as_i64().unwrap_or_default();
    let text = |key: &str| run[key].as_str().map(plain);
    let mut lines = vec![format!(
        "   {} rows read, {} updated, {} ranges set aside",
        number("scanned"),
        number("updated"),
        number("set_aside")
    )];
    if let Some(remaining) = text("remaining") {
        let rate = run["rows_per_second"].as_f64().unwrap_or_default();
        lines.push(format!("   {rate} rows per second, about {remaining} left"));
    }
    if let Some(began) = text("started_at") {
        lines.push(match text("finished_at") {
            Some(ended) => format!("   from {began} to {ended} UTC"),
            None => format!("   since {began} UTC"),
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{begun, line};

    #[test]
    fn what_holds_a_run_is_told_as_a_command() {
        let run = json!({
            "run": 7, "job": "count", "table": "public.counted", "status": "running", "percent": 0,
            "held_by": "no worker: a sidecar or pg_cron resumes the run, or call lockstep.resume_backfill", "last_error": "a < b",
        });
        let told = "run 7 of count on public.counted: running, 0 %";
        assert_eq!(
            line(&run),
            format!(
                "{told}, held: no worker: a sidecar or pg_cron resumes the run, or `/chatops run backfill resume 7`, last error: a &lt; b"
            )
        );
        assert_eq!(begun(&run), format!("{told}, last error: a &lt; b"));
    }
}
