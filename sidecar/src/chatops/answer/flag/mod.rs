//! `feature`: the state of flags ([`mod@describe`]). Changes are in [`set`]: what is asked for ([`requested`]), whether it may be done ([`check`]), in
//! agreement with other environments ([`change`]), and what was done ([`report`]);
//! [`mod@rollout`] shows the progress of a rollout ([`checklist`]).

mod change;
mod check;
mod checklist;
mod describe;
mod report;
mod requested;
mod rollout;
mod set;

use crate::chatops::arguments::Feature;
use crate::chatops::environment::each;
use crate::chatops::given::Given;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::{Answer, plain};

pub(crate) use check::LARGE_STEP_BUTTON;
use describe::{describe, kind, say_list};
pub(super) use rollout::answer as rollout;

/// The number of flags listed per environment.
const MOST: i32 = 200;

pub(super) async fn answer(given: &Given<'_>, command: Feature) -> Result<Answer, Answer> {
    match command {
        Feature::Set(wish) => set::set(given, &wish).await,
        Feature::Delete(delete) => set::delete(given, delete).await,
        Feature::Get {
            name,
            all,
            environments,
        } => {
            let environments = match all {
                true => given.app.environments.all().to_vec(),
                false => given.environments(environments)?,
            };
            let answers = each(&environments, |it| {
                let name = name.clone();
                async move { it.database.feature(&name).await }
            })
            .await;
            let mut answer = Answer::text(format!("*{}*", plain(&name)));
            for (environment, answered) in answers {
                answer.say(match answered {
                    Ok(flag) => format!(
                        "• {}: {}{}",
                        environment.text(),
                        describe(&flag),
                        kind(&flag)
                    ),
                    Err(error) => Outcome::of_error(environment, &error).silence(environment),
                });
            }
            Ok(answer)
        }
        Feature::List { part, environments } => {
            let environments = given.environments(environments)?;
            let answers = each(&environments, |it| {
                let part = part.clone();
                async move { it.database.features(&part, None, MOST).await }
            })
            .await;
            let mut answer = Answer::default();
            for (environment, answered) in answers {
                match answered {
                    Ok(list) => say_list(&mut answer, environment.text(), &list),
                    Err(error) => {
                        answer.say(Outcome::of_error(environment, &error).silence(environment));
                    }
                }
            }
            Ok(answer)
        }
    }
}
