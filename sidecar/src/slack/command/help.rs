//! What commands there are.

use super::{COMMANDS, Command, Run};
use crate::slack::message::{Reply, code, shorten};
use crate::slack::payload::SlashCommand;

pub(super) const COMMAND: Command = Command {
    name: "help",
    usage: "help` shows this",
    run: Run::AtOnce(|slash| Reply::new(list(&slash.command))),
};

/// What is said to words that are no command, or to none.
pub(super) fn unknown(slash: &SlashCommand) -> Reply {
    let text = slash.text.trim();
    let list = list(&slash.command);
    match text.is_empty() {
        true => Reply::new(list),
        false => Reply::new(format!(
            "There is no command {}.\n{list}",
            code(&shorten(text, 100))
        )),
    }
}

fn list(slash: &str) -> String {
    let slash = shorten(slash, 32).replace('`', "'");
    let lines = COMMANDS
        .iter()
        .map(|command| format!("• `{slash} {}\n", command.usage));
    format!(
        "*Commands*\n{}An _alias_ is the path of a project or group, such as `group/project`, unless it was given another. \
         {} without one lists those of this workspace.",
        lines.collect::<String>(),
        code(&format!("{slash} status")),
    )
}

#[cfg(test)]
mod tests {
    use super::{COMMAND, unknown};
    use crate::slack::command::{COMMANDS, Run};
    use crate::slack::payload::SlashCommand;

    fn slash(text: &str) -> SlashCommand {
        SlashCommand {
            command: "/gitlab".to_owned(),
            text: text.to_owned(),
            ..SlashCommand::default()
        }
    }

    #[test]
    fn every_command_is_listed() {
        let Run::AtOnce(run) = COMMAND.run else {
            unreachable!("help knows its answer");
        };
        let reply = run(&slash("help"));
        for command in &COMMANDS {
            assert!(reply.text().contains(command.usage));
            assert!(command.usage.contains(command.name));
        }
    }

    #[test]
    fn what_is_no_command_is_said_back_safely() {
        let reply = unknown(&slash("<!channel> `x`"));
        assert!(
            reply
                .text()
                .starts_with("There is no command `&lt;!channel&gt; 'x'`.\n*Commands*"),
            "{}",
            reply.text()
        );
        assert!(unknown(&slash(" ")).text().starts_with("*Commands*"));
        assert!(unknown(&slash(&"x".repeat(5_000))).text().len() < 1_000);
    }
}
