//! `rollout`: the progress of a flag's rollout, as a checklist.

use super::checklist::{STALE_DAYS, Standing, checklist, done};
use super::describe::say_list;
use crate::chatops::answer::deployment;
use crate::chatops::arguments::Rollout;
use crate::chatops::environment::{Name, each};
use crate::chatops::given::Given;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::{Answer, plain};
use crate::database::OfHost;

const MOST: i32 = 50;

pub(in crate::chatops::answer) async fn answer(
    given: &Given<'_>,
    command: Rollout,
) -> Result<Answer, Answer> {
    let Some(name) = command.name else {
        return Ok(untouched(given, &command.part).await);
    };
    let merge_request = command
        .merge_request
        .as_deref()
        .map(|text| deployment::address(text).ok_or_else(|| deployment::not_an_address(text)));
    let merge_request = merge_request.transpose()?;
    let answers = each(given.app.environments.all(), |it| {
        let name = name.clone();
        async move { it.database.rollout(&name).await }
    })
    .await;
    let mut standings: Vec<Standing> = Vec::new();
    let mut silent = Vec::new();
    for (environment, answered) in answers {
        standings.push(match answered {
            Ok(value) => (environment, Some(value)),
            Err(error) => {
                silent.push(Outcome::of_error(environment, &error).silence(environment));
                (environment, None)
            }
        });
    }
    let mut answer = Answer::text(format!("*Rollout of {}*", plain(&name)));
    if let Some((project, iid)) = merge_request {
        answer.say(deployed(given, &project, iid).await);
    }
    for line in checklist(&name, &standings) {
        answer.say(line);
    }
    silent.into_iter().for_each(|line| answer.say(line));
    Ok(answer)
}

/// The first step: without its code a flag does nothing.
async fn deployed(given: &Given<'_>, project: &str, iid: i64) -> String {
    let code = format!(
        "the code in {} is deployed",
        plain(&format!("{project}!{iid}"))
    );
    let Some(production) = given.app.environments.get(Name::Production) else {
        return done(false, &format!("{code}: production is not configured here"));
    };
    let what = OfHost::Release {
        project,
        iid,
        milestone: "0.0",
    };
    let found = match production.database.of_host(what).await {
        Ok(found) => deployment::deployments(&found),
        Err(error) => {
            let why = Outcome::of_error(Name::Production, &error).silence(Name::Production);
            return done(false, &format!("{code}: {why}"));
        }
    };
    let is_done = found
        .iter()
        .any(|it| it.is_done && it.is_in_production != Some(false));
    let where_it_is: Vec<&str> = found.iter().map(|it| it.text.as_str()).collect();
    match where_it_is.is_empty() {
        true => done(false, &format!("{code}: {}", deployment::NOWHERE)),
        false => done(is_done, &format!("{code}: {}", where_it_is.join("; "))),
    }
}

/// Flags unchanged for two months, in all environments.
async fn untouched(given: &Given<'_>, part: &str) -> Answer {
    let answers = each(given.app.environments.all(), |it| {
        let part = part.to_owned();
        async move { it.database.features(&part, Some(STALE_DAYS), MOST).await }
    });
    let mut answer = Answer::text("Unchanged for two months:");
    for (environment, answered) in answers.await {
        match answered {
            Ok(list) => say_list(&mut answer, environment.text(), &list),
            Err(error) => {
                answer.say(Outcome::of_error(environment, &error).silence(environment));
            }
        }
    }
    answer
}
