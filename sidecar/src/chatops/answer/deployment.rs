//! `auto_deploy` and `release`: where code is deployed, according to GitLab's own tables.

use serde_json::Value;

use crate::chatops::arguments::{AutoDeploy, Release};
use crate::chatops::environment::each;
use crate::chatops::given::Given;
use crate::chatops::outcome::Outcome;
use crate::chatops::page::{Answer, plain};
use crate::database::OfHost;
use crate::slack::code;

pub(super) async fn auto_deploy(given: &Given<'_>, command: AutoDeploy) -> Result<Answer, Answer> {
    let AutoDeploy::Status { sha, environments } = command;
    let environments = given.environments(environments)?;
    let answers = each(&environments, |it| {
        let sha = sha.clone();
        async move { it.database.of_host(OfHost::Commit(&sha)).await }
    });
    let mut answer = Answer::text(format!("*{}*", plain(&sha)));
    for (environment, answered) in answers.await {
        match answered {
            Ok(found) => {
                if environments.len() > 1 {
                    answer.say(format!("In the database of {}:", environment.text()));
                }
                said(deployments(&found))
                    .into_iter()
                    .for_each(|line| answer.say(line));
            }
            Err(error) => answer.say(Outcome::of_error(environment, &error).silence(environment)),
        }
    }
    Ok(answer)
}

pub(super) async fn release(given: &Given<'_>, command: Release) -> Result<Answer, Answer> {
    let Release::Check {
        merge_request,
        milestone,
        environments,
    } = command;
    let (project, iid) = address(&merge_request).ok_or_else(|| not_an_address(&merge_request))?;
    let environments = given.environments(environments)?;
    let answers = each(&environments, |it| {
        let (project, milestone) = (project.clone(), milestone.clone());
        async move {
            let what = OfHost::Release {
                project: &project,
                iid,
                milestone: &milestone,
            };
            it.database.of_host(what).await
        }
    });
    let mut answer = Answer::default();
    for (environment, answered) in answers.await {
        match answered {
            Ok(found) => {
                if environments.len() > 1 {
                    answer.say(format!("In the database of {}:", environment.text()));
                }
                answer.say(verdict(&project, iid, &found));
                said(deployments(&found))
                    .into_iter()
                    .for_each(|line| answer.say(line));
            }
            Err(error) => answer.say(Outcome::of_error(environment, &error).silence(environment)),
        }
    }
    Ok(answer)
}

pub(super) fn not_an_address(text: &str) -> Answer {
    Answer::text(format!(
        ":x: {} is not the address of a merge request, such as `https://gitlab.example/group/project/-/merge_requests/1`.",
        code(&crate::slack::shorten(text, 200))
    ))
}

/// The project and number in the address of a merge request, or in its short form.
pub(super) fn address(text: &str) -> Option<(String, i64)> {
    if let Some((project, iid)) = text.rsplit_once('!') {
        return project_and_iid(project, iid);
    }
    let path = text
        .split_once("://")
        .map_or(text, |(_, rest)| rest)
        .split(['?', '#'])
        .next()?;
    let (_, path) = path.split_once('/')?;
    let (project, rest) = path
        .split_once("/-/merge_requests/")
        .or_else(|| path.split_once("/merge_requests/"))?;
    project_and_iid(project, rest.split('/').next()?)
}

fn project_and_iid(project: &str, iid: &str) -> Option<(String, i64)> {
    let iid = iid.parse().ok().filter(|iid| *iid > 0)?;
    project.contains('/').then(|| (project.to_owned(), iid))
}

/// Whether a merge request is in a release.
fn verdict(project: &str, iid: i64, found: &Value) -> String {
    let request = &found["merge_request"];
    let name = plain(&format!("{project}!{iid}"));
    let title = plain(request["title"].as_str().unwrap_or_default());
    let milestone = plain(found["milestone"].as_str().unwrap_or_default());
    let state = request["state"].as_str().unwrap_or("unknown");
    let released = found["released_in"].as_str();
    match (released.zip(found["released_from"].as_str()), state) {
        (Some((since, from)), _) if since != milestone => format!(
            ":white_check_mark: *{name}* ({title}) is in {milestone}, since {since} ({}).",
            code(from)
        ),
        (Some((_, from)), _) => format!(
            ":white_check_mark: *{name}* ({title}) is in {milestone}, deployed from {}.",
            code(from)
        ),
        (None, "merged") => format!(
            ":hourglass_flowing_sand: *{name}* ({title}) is merged, but not in {milestone} yet: no deployment of that release contains it."
        ),
        (None, state) => format!(":x: *{name}* ({title}) is {state}, so it is not in {milestone}."),
    }
}

/// Code in a deployment environment.
pub(super) struct Deployment {
    pub(super) is_done: bool,
    /// None if GitLab does not say.
    pub(super) is_in_production: Option<bool>,
    pub(super) text: String,
}

/// Where it is deployed, in display order.
pub(super) fn deployments(found: &Value) -> Vec<Deployment> {
    let environments = found["environments"].as_array().into_iter().flatten();
    let one = |it: &Value| {
        let text = |key: &str| it[key].as_str().map(plain);
        let name = text("environment").unwrap_or_default();
        let name = match text("project") {
            Some(project) => format!("{project} {name}"),
            None => name,
        };
        let at = text("deployed_at");
        Deployment {
            is_done: at.is_some(),
            is_in_production: it["is_production"].as_bool(),
            text: match at {
                Some(at) => format!("{name}: deployed at {at} UTC"),
                None => {
                    let number = it["status"].as_i64().unwrap_or_default();
                    format!("{name}: {}", status(number))
                }
            },
        }
    };
    environments.map(one).collect()
}

pub(super) const NOWHERE: &str = "not deployed";

/// One line each.
fn said(deployments: Vec<Deployment>) -> Vec<String> {
    if deployments.is_empty() {
        return vec![format!(":white_large_square: {NOWHERE}")];
    }
    let line = |it: Deployment| match it.is_done {
        true => format!(":white_check_mark: {}", it.text),
        false => format!(":white_large_square: {}", it.text),
    };
    deployments.into_iter().map(line).collect()
}

/// GitLab's numbers.
fn status(number: i64) -> &'static str {
    match number {
        0 => "created, not deployed yet",
        1 => "being deployed",
        3 => "failed",
        4 => "cancelled",
        5 => "skipped",
        6 => "waits for approval",
        _ => "not deployed",
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn merge_requests_are_found_in_their_addresses() {
        let expected = Some(("gitlab-org/gitlab".to_owned(), 88_558));
        for text in [
            "https://gitlab.com/gitlab-org/gitlab/-/merge_requests/88558",
            "https://gitlab.com/gitlab-org/gitlab/merge_requests/88558/diffs?x=1#note_2",
            "gitlab.com/gitlab-org/gitlab/-/merge_requests/88558",
            "gitlab-org/gitlab!88558",
        ] {
            assert_eq!(address(text), expected, "{text}");
        }
        for text in [
            "",
            "88558",
            "!1",
            "a!1",
            "a/b!x",
            "a/b!-1",
            "https://gitlab.com/a/b/-/issues/1",
            "https://gitlab.com/-/merge_requests/1",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
