//! Slash commands: which project, which user, and the response.

use serde_json::{Value, json};

use super::answer::Answer;
use super::incident;
use super::world::{Received, World};

/// A command as it was given.
pub(super) struct Given {
    pub(super) team: String,
    pub(super) user: String,
    pub(super) trigger: String,
    pub(super) response_url: String,
}

pub(super) fn answer(world: &World, request: &Received, text: &str) -> Answer {
    let field = |name| request.field(name).unwrap_or_default();
    let given = Given {
        team: field("team_id"),
        user: field("user_id"),
        trigger: field("trigger_id"),
        response_url: field("response_url"),
    };
    let text = text.trim();
    if text == "help" {
        return Answer::ephemeral(&help(&field("command")));
    }
    if text.is_empty() {
        // GitLab calls a method on nil.
        return Answer::json(500, json!({ "message": "500 Internal Server Error" }));
    }
    let (alias, command) = match text.split_once(char::is_whitespace) {
        Some(_) if text == "incident declare" => (None, text),
        Some((alias, command)) => (Some(alias), command.trim_start()),
        None => (None, text),
    };
    let Some(path) = project(world, &given.team, alias) else {
        return Answer::ephemeral("No such project or alias here.");
    };
    let key = (given.team.clone(), given.user.clone());
    let Some(name) = world.users.get(&key) else {
        let url = format!("{}/-/link?token=once", world.base_url);
        return Answer::ephemeral(&format!("First <{url}|link your account>."));
    };
    run(world, &given, path, name, command)
}

/// Without an alias, the first project of the workspace.
fn project<'a>(world: &'a World, team: &str, alias: Option<&str>) -> Option<&'a str> {
    let mut of_team = world
        .projects
        .iter()
        .filter(|((other, _), _)| other == team);
    let found = match alias {
        Some(alias) => of_team.find(|((_, other), _)| other == alias),
        None => of_team.next(),
    };
    found.map(|(_, path)| path.as_str())
}

fn run(world: &World, given: &Given, path: &str, name: &str, command: &str) -> Answer {
    let (words, body) = command.split_once('\n').unwrap_or((command, ""));
    let words: Vec<&str> = words.split_whitespace().collect();
    let number = |word: &str| word.trim_start_matches('#').to_owned();
    match words[..] {
        ["issue", "show", iid] => issue(world, path, name, &number(iid), "Make tea", "shown"),
        ["issue", "new" | "create", ref title @ ..] if !title.is_empty() => {
            issue(world, path, name, "8", &title.join(" "), body)
        }
        ["issue", "search", ref query @ ..] => {
            Answer::ephemeral(&format!("2 issues with {}: #1, #2", query.join(" ")))
        }
        ["issue", "move", iid, "to", target] | ["issue", "move", iid, target] => {
            let moved = format!("#{} of {path} is now #1 of {target}", number(iid));
            Answer::in_channel(json!({ "attachments": [{ "pretext": moved }] }))
        }
        ["issue", "close", iid] => Answer::in_channel(json!({
            "attachments": [{ "pretext": format!("#{} of {path} is closed", number(iid)) }],
        })),
        ["issue", "comment", iid] if !body.is_empty() => Answer::in_channel(json!({
            "attachments": [{ "pretext": format!("{name} on #{} of {path}", number(iid)), "text": body }],
        })),
        ["deploy", from, "to", to] => Answer::in_channel(json!({
            "text": format!("{name} deploys {path} from {from} to {to}"),
        })),
        ["run", job, ref arguments @ ..] => Answer::in_channel(json!({
            "text": format!("{name} runs {job} of {path} with {}{body}", arguments.join(" ")),
        })),
        ["incident", "declare"] => incident::declare(world, given, path),
        ["help"] => Answer::ephemeral(&help("/gitlab")),
        _ => Answer::ephemeral(&format!("What is that?\n{}", help("/gitlab"))),
    }
}

fn issue(world: &World, path: &str, name: &str, iid: &str, title: &str, text: &str) -> Answer {
    let card: Value = json!({
        "title": format!("{title} · #{iid}"),
        "title_link": format!("{}/{path}/-/issues/{iid}", world.base_url),
        "author_name": name,
        "pretext": format!("#{iid} of {path}"),
        "text": text,
        "color": "#38ae67",
        "fields": [
            { "title": "Assignee", "value": "_None_", "short": true },
            { "title": "Labels", "value": "_None_", "short": true },
        ],
    });
    Answer::in_channel(json!({ "attachments": [card] }))
}

fn help(slash: &str) -> String {
    let commands = [
        "issue show <id>",
        "issue new <title>",
        "issue search <query>",
        "issue move <id> to <project>",
        "issue close <id>",
        "issue comment <id>",
        "deploy <environment> to <environment>",
        "run <job> <arguments>",
    ];
    let lines = commands.map(|command| format!("`{slash} <project> {command}`"));
    format!("{}\n`{slash} incident declare`", lines.join("\n"))
}
