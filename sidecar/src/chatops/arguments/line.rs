//! Parses the text of a command.

use clap::Parser;
use clap::error::ErrorKind;

use super::command::Command;
use super::words;
use crate::chatops::page::Answer;
use crate::slack::{code, shorten};

/// How many characters of code Slack shows in a line on a narrow screen.
const WIDTH: usize = 80;

/// Feature flags, deployments, backfills and workers, from Slack
#[derive(Debug, Parser)]
#[command(
    name = "/chatops run",
    bin_name = "/chatops run",
    no_binary_name = true,
    disable_version_flag = true,
    term_width = WIDTH,
    after_help = "Each command has its own --help."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// The parsed command, or the answer to invalid text.
pub(in crate::chatops) fn parse(text: &str) -> Result<Command, Answer> {
    let words = words::split(text).ok_or_else(|| {
        Answer::text(
            "A quote is not closed, or the text ends in a backslash. Put an apostrophe in double quotes: `\"it's\"`.",
        )
    })?;
    let rest = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["gitlab", "run", ..] => &words[2..],
        ["run", ..] => &words[1..],
        [] | ["help" | "--help" | "-h"] | ["gitlab"] => &[],
        [other, ..] => {
            return Err(Answer::text(format!(
                "Unknown command {}. Commands begin with `run`: `/chatops run --help` lists them.",
                code(&shorten(other, 100))
            )));
        }
    };
    let help = ["--help".to_owned()];
    let rest = if rest.is_empty() { &help } else { rest };
    match Line::try_parse_from(rest) {
        Ok(line) => Ok(line.command),
        Err(error) => Err(told(&error)),
    }
}

/// As in a terminal, but the hint about --help appears only once.
fn told(error: &clap::Error) -> Answer {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => Answer::code(&text),
        _ => {
            let mut answer = Answer::code(&text);
            answer.say("Nothing was done.");
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::{Line, parse};
    use crate::chatops::arguments::command::{Command, Feature, Set, Value};

    fn set(text: &str) -> Set {
        match parse(text) {
            Ok(Command::Feature(Feature::Set(set))) => set,
            other => unreachable!("{text}: {other:?}"),
        }
    }

    fn refusal(text: &str) -> String {
        match parse(text) {
            Err(answer) => answer.pages().iter().map(|page| page.text()).collect(),
            Ok(command) => unreachable!("{text}: {command:?}"),
        }
    }

    #[test]
    fn declarations_are_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn options_are_taken_in_any_order_and_several_at_once() {
        for text in [
            "run feature set f true --user=ada,bob --project 22 --project=a/b --staging --staging-ref",
            "gitlab run feature set --staging-ref --project=22,a/b f --staging --user ada --user bob true",
            "run feature set f TRUE —user=ada,bob —project=22,a/b —staging —staging-ref",
        ] {
            let set = set(text);
            assert_eq!((set.name.as_str(), set.value), ("f", Value::Enabled(true)));
            assert_eq!(set.users, ["ada", "bob"]);
            assert_eq!(set.projects, ["22", "a/b"]);
            let named: Vec<&str> = set
                .environments
                .named()
                .iter()
                .map(|it| it.text())
                .collect();
            assert_eq!(named, ["staging", "staging-ref"]);
        }
        assert_eq!(
            set("run feature set f 007 --actors").value,
            Value::Percentage(7)
        );
    }

    #[test]
    fn help_is_everywhere() {
        fn visit(command: &clap::Command, words: &str, seen: &mut usize) {
            for text in [
                format!("run{words} --help"),
                format!("gitlab run{words} -h"),
            ] {
                let help = refusal(&text);
                assert!(
                    help.starts_with("```\n") && help.contains("Usage: /chatops run"),
                    "{text}: {help}"
                );
                assert!(!help.contains("Nothing was done"), "{text}");
            }
            *seen += 1;
            for sub in command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help")
            {
                visit(sub, &format!("{words} {}", sub.get_name()), seen);
            }
        }
        let mut seen = 0;
        visit(&Line::command(), "", &mut seen);
        assert!(seen > 20, "{seen}");
        for text in ["", "run", "help", "gitlab", "gitlab run", "--help"] {
            assert!(refusal(text).contains("feature"), "{text}");
        }
    }

    #[test]
    fn what_is_no_command_is_told() {
        for (text, words) in [
            (
                "feature list",
                "Unknown command `feature`. Commands begin with `run`",
            ),
            ("<!channel>", "Unknown command `!channel`."),
            ("run it's", "A quote is not closed"),
            ("run fly", "unrecognized subcommand &#39;fly&#39;"),
            ("run feature set f", "required arguments were not provided"),
            (
                "run feature set f maybe",
                "use true, false, a whole number from 0 to 100, opt-out or remove-opt-out",
            ),
            (
                "run feature set f 101",
                "use true, false, a whole number from 0 to 100, opt-out or remove-opt-out",
            ),
            (
                "run feature set f 2.5 --actors",
                "use true, false, a whole number from 0 to 100, opt-out or remove-opt-out",
            ),
            (
                "run feature set f +5 --actors",
                "use true, false, a whole number from 0 to 100, opt-out or remove-opt-out",
            ),
            ("run feature set f true --mars", "unexpected argument"),
            ("run feature set f true --user", "a value is required for"),
            ("run backfill pause one", "invalid value"),
            ("run incident declare x --severity 5", "5 is not in 1..=4"),
        ] {
            let told = refusal(text);
            let words = words.replace("&#39;", "'");
            assert!(told.contains(&words), "{text}: {told}");
        }
        assert!(refusal("run fly").ends_with("Nothing was done."));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = parse(&text);
            let _ = parse(&format!("run {text}"));
        }

        #[test]
        fn any_options_are_survived(words in proptest::collection::vec("run|feature|set|list|--[a-z-]{1,12}(=[a-z,]{0,4})?|-[a-z]|true|[0-9]{1,4}|incident|declare|--|", 0..9)) {
            if let Err(answer) = parse(&format!("run {}", words.join(" "))) {
                prop_assert!(!answer.pages().is_empty());
            }
        }
    }
}
