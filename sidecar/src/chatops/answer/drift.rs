//! `drift`: how many rows have drifted.

use crate::chatops::arguments::Looked;
use crate::chatops::environment::each;
use crate::chatops::given::Given;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::Answer;
use crate::slack::code;

pub(super) async fn answer(given: &Given<'_>, looked: Looked) -> Result<Answer, Answer> {
    let environments = given.environments(looked.environments)?;
    let answers = each(&environments, |it| async move { it.database.drift().await });
    let mut answer = Answer::default();
    for (environment, answered) in answers.await {
        let parts = match answered {
            Ok(parts) => parts,
            Err(error) => {
                answer.say(Outcome::of_error(environment, &error).silence(environment));
                continue;
            }
        };
        let parts = parts.as_array().map_or(&[][..], Vec::as_slice);
        answer.say(match parts.is_empty() {
            true => format!("*{}*: nothing to count there", environment.text()),
            false => format!("*{}*", environment.text()),
        });
        for part in parts {
            let what = code(part["what"].as_str().unwrap_or_default());
            let state = part["state"].as_str().unwrap_or_default();
            let rows = match part["rows"].as_u64() {
                Some(0) => ":white_check_mark: no drift".to_owned(),
                Some(1) => ":warning: 1 row differs".to_owned(),
                Some(rows) => format!(":warning: {rows} rows differ"),
                None => ":warning: not counted".to_owned(),
            };
            answer.say(match state {
                "active" => format!("• {what}: {rows}"),
                state => format!("• {what}: {rows}; :warning: {state}"),
            });
        }
    }
    Ok(answer)
}
