//! What commands there are.

use super::given::Command;
use crate::slack::{Reply, SlashCommand, code, shorten};

pub(super) const NAME: &str = "help";
const USAGE: &str = "help` shows this";

/// What is said to words that are no command, or to none.
pub(super) fn unknown(slash: &SlashCommand, commands: &[Command]) -> Reply {
    let text = slash.text.trim();
    let list = listed(&slash.command, commands);
    match text.is_empty() {
        true => Reply::new(list),
        false => Reply::new(format!(
            "There is no command {}.\n{list}",
            code(&shorten(text, 100))
        )),
    }
}

pub(super) fn list(slash: &str, commands: &[Command]) -> Reply {
    Reply::new(listed(slash, commands))
}

fn listed(slash: &str, commands: &[Command]) -> String {
    let slash = shorten(slash, 32).replace('`', "'");
    let usages = [USAGE].into_iter();
    let lines = usages
        .chain(commands.iter().map(|command| command.usage))
        .map(|usage| format!("• `{slash} {usage}\n"));
    format!(
        "*Commands*\n{}An _alias_ is the path of a project or group, such as `group/project`, unless it was given another. \
         {} without one lists those of this workspace.",
        lines.collect::<String>(),
        code(&format!("{slash} status")),
    )
}

#[cfg(test)]
mod tests {
    use super::{list, unknown};
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
        let reply = list("/gitlab", &COMMANDS);
        assert!(reply.text().contains("`/gitlab help` shows this"));
        for command in &COMMANDS {
            assert!(reply.text().contains(command.usage));
            assert!(command.usage.contains(command.name));
        }
    }

    #[test]
    fn what_is_no_command_is_said_back_safely() {
        let reply = unknown(&slash("<!channel> `x`"), &COMMANDS);
        assert!(
            reply
                .text()
                .starts_with("There is no command `&lt;!channel&gt; 'x'`.\n*Commands*"),
            "{}",
            reply.text()
        );
        assert!(
            unknown(&slash(" "), &COMMANDS)
                .text()
                .starts_with("*Commands*")
        );
        assert!(unknown(&slash(&"x".repeat(5_000)), &COMMANDS).text().len() < 1_000);
    }
}
