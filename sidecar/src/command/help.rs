//! The list of commands: ours, and GitLab's.

use super::given::Command;
use crate::slack::{Reply, SlashCommand, code, shorten};

pub(super) const NAME: &str = "help";
const USAGE: &str = "help` shows this";

/// Shown where GitLab's own commands are not passed on.
const MISSING: &str = "GitLab's own commands (`issue`, `deploy`, `run`, `incident declare`) are not passed on to it: \
     the operator of lockstep-sidecar can set `--gitlab-url`, or `LOCKSTEP_GITLAB_URL`, to GitLab's address.";

/// Used when there is no GitLab to ask for its commands.
pub(super) fn list(slash: &str, commands: &[Command]) -> Reply {
    Reply::new(format!("{}\n{MISSING}", listed(slash, commands)))
}

/// The answer to an unknown command.
pub(super) fn unknown(slash: &SlashCommand, commands: &[Command]) -> Reply {
    let text = slash.text.trim();
    Reply::new(format!(
        "Unknown command {}.\n{}\n{MISSING}",
        code(&shorten(text, 100)),
        listed(&slash.command, commands)
    ))
}

pub(super) fn listed(slash: &str, commands: &[Command]) -> String {
    let slash = shorten(slash, 32).replace('`', "'");
    let usages = [USAGE].into_iter();
    let lines = usages
        .chain(commands.iter().map(|command| command.usage))
        .map(|usage| format!("• `{slash} {usage}\n"));
    format!(
        "*Commands*\n{}An _alias_ is the path of a project or group, such as `group/project`, unless it was given another. \
         A project's path, or a former one, will do as well. \
         {} without one lists those of this workspace.",
        lines.collect::<String>(),
        code(&format!("{slash} status")),
    )
}

#[cfg(test)]
mod tests {
    use super::{listed, unknown};
    use crate::command::COMMANDS;
    use crate::slack::SlashCommand;

    fn slash(text: &str) -> SlashCommand {
        SlashCommand {
            command: "/gitlab".to_owned(),
            text: text.to_owned(),
            ..SlashCommand::default()
        }
    }

    #[test]
    fn every_command_is_listed() {
        let list = listed("/gitlab", &COMMANDS);
        assert!(list.contains("`/gitlab help` shows this"));
        for command in &COMMANDS {
            assert!(list.contains(command.usage));
            assert!(command.usage.contains(command.name));
        }
    }

    #[test]
    fn what_is_no_command_is_said_back_safely() {
        let reply = unknown(&slash("<!channel> `x`"), &COMMANDS);
        assert!(
            reply
                .text()
                .starts_with("Unknown command `&lt;!channel&gt; 'x'`.\n*Commands*"),
            "{}",
            reply.text()
        );
        assert!(reply.text().contains("--gitlab-url"));
        assert!(unknown(&slash(&"x".repeat(5_000)), &COMMANDS).text().len() < 1_500);
    }
}
