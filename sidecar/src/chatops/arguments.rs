//! What can be said after `/chatops`: `run <command>`, or, as the host's own has it, `gitlab run <command>`.

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use super::environment::Name;
use super::page::Answer;
use super::words;
use crate::slack::{code, shorten};

/// Slack shows so many letters of code in a line, on a narrow screen.
const WIDTH: usize = 80;

/// Feature flags, deployments, backfills and workers, from Slack
#[derive(Debug, Parser)]
#[command(
    name = "/chatops run",
    bin_name = "/chatops run",
    no_binary_name = true,
    disable_version_flag = true,
    term_width = WIDTH,
    after_help = "Each command has a --help of its own."
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Look at feature flags and set them
    #[command(subcommand)]
    Feature(Feature),

    /// Where a commit is deployed
    #[command(subcommand, name = "auto_deploy")]
    AutoDeploy(AutoDeploy),

    /// Whether a merge request is in a release
    #[command(subcommand)]
    Release(Release),

    /// Look at backfills and control them
    #[command(subcommand)]
    Backfill(Backfill),

    /// Look at workers that are renamed, and give up old names
    #[command(subcommand)]
    Workers(Workers),

    /// Count the rows that are not what they should be; reads all of them
    Drift(Looked),

    /// How the rollout of a flag stands, or which flags nobody has changed for two months
    Rollout(Rollout),

    /// Declare and close incidents: one of severity 1 or 2 holds changes of flags in production
    #[command(subcommand)]
    Incident(Incident),
}

/// In which databases; production, if none is named
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Environments (production, if none is named)")]
pub(super) struct Environments {
    /// In dev
    #[arg(long)]
    dev: bool,

    /// In ops
    #[arg(long)]
    ops: bool,

    /// In pre
    #[arg(long)]
    pre: bool,

    /// In staging
    #[arg(long)]
    staging: bool,

    /// In staging-ref
    #[arg(long)]
    staging_ref: bool,

    /// In production
    #[arg(long)]
    production: bool,
}

impl Environments {
    /// Those that are named.
    pub(super) fn named(self) -> Vec<Name> {
        let is_named = |name: &Name| match name {
            Name::Dev => self.dev,
            Name::Ops => self.ops,
            Name::Pre => self.pre,
            Name::Staging => self.staging,
            Name::StagingRef => self.staging_ref,
            Name::Production => self.production,
        };
        Name::ALL.into_iter().filter(is_named).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Feature {
    /// How a flag stands
    Get {
        /// The flag
        name: String,

        #[command(flatten)]
        environments: Environments,
    },

    /// Set a flag
    Set(Set),

    /// The flags that are set
    List {
        /// Only those whose name contains this
        #[arg(long = "match", value_name = "TEXT", default_value = "")]
        part: String,

        #[command(flatten)]
        environments: Environments,
    },

    /// Remove a flag, as if it had never been set
    Delete {
        /// The flag
        name: String,

        /// Also while an incident is declared
        #[arg(long)]
        ignore_production_check: bool,

        #[command(flatten)]
        environments: Environments,
    },
}

/// Set a flag: for everybody, for some, or for a share
#[derive(Args, Debug)]
pub(super) struct Set {
    /// The flag
    pub(super) name: String,

    /// true, false, or a percentage from 0 to 100
    #[arg(value_parser = value)]
    pub(super) value: Value,

    /// Projects, by path or id, with commas in between
    #[arg(long = "project", value_name = "PATHS", value_delimiter = ',')]
    pub(super) projects: Vec<String>,

    /// Groups, by path or id
    #[arg(long = "group", value_name = "PATHS", value_delimiter = ',')]
    pub(super) groups: Vec<String>,

    /// Namespaces of groups or users, by path
    #[arg(long = "namespace", value_name = "PATHS", value_delimiter = ',')]
    pub(super) namespaces: Vec<String>,

    /// Users, by name
    #[arg(long = "user", value_name = "NAMES", value_delimiter = ',')]
    pub(super) users: Vec<String>,

    /// Groups of actors that the application knows
    #[arg(long = "feature-group", value_name = "NAMES", value_delimiter = ',')]
    pub(super) feature_groups: Vec<String>,

    /// Repositories; not taken, as a flag has no actor for one here
    #[arg(long = "repository", value_name = "PATHS", value_delimiter = ',')]
    pub(super) repositories: Vec<String>,

    /// The percentage is of the actors, always the same ones
    #[arg(long)]
    pub(super) actors: bool,

    /// The percentage is of the time; deprecated
    #[arg(long)]
    pub(super) random: bool,

    /// Take --random nevertheless
    #[arg(long)]
    pub(super) ignore_random_deprecation_check: bool,

    /// Also while an incident is declared
    #[arg(long)]
    pub(super) ignore_production_check: bool,

    /// Also if staging and production come to differ
    #[arg(long)]
    pub(super) ignore_feature_flag_consistency_check: bool,

    #[command(flatten)]
    pub(super) environments: Environments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Enabled(bool),
    Percentage(u8),
}

fn value(text: &str) -> Result<Value, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(Value::Enabled(true)),
        "false" => Ok(Value::Enabled(false)),
        text => match text.parse() {
            Ok(percentage @ 0..=100) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Value::Percentage(percentage))
            }
            _ => Err("it is true, false, or a whole number from 0 to 100".to_owned()),
        },
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum AutoDeploy {
    /// Where a commit is deployed, or the merge request that it is of
    Status {
        /// The commit
        sha: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Release {
    /// Whether a merge request is in the release of a milestone
    Check {
        /// The address of the merge request
        merge_request: String,

        /// Such as 15.1
        milestone: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Backfill {
    /// The last runs
    List(Looked),

    /// How a run stands
    Status(Run),

    /// Begin a run
    Start {
        /// The job, such as service_accounts
        job: String,

        /// How many work on it
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=64))]
        workers: i32,

        #[command(flatten)]
        environments: Environments,
    },

    /// Stop a run for now
    Pause(Run),

    /// Go on with a run
    Resume(Run),

    /// Try again what a run could not do
    Retry(Run),

    /// End a run
    Cancel(Run),
}

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Run {
    /// The number of the run
    pub(super) run: i64,

    #[command(flatten)]
    pub(super) environments: Environments,
}

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Looked {
    #[command(flatten)]
    pub(super) environments: Environments,
}

#[derive(Debug, Subcommand)]
pub(super) enum Workers {
    /// The names there are, and whether the old ones have drained
    Status(Looked),

    /// Give up the old name of a worker that has drained
    Retire {
        /// The old name
        worker: String,

        #[command(flatten)]
        environments: Environments,
    },
}

#[derive(Args, Debug)]
pub(super) struct Rollout {
    /// The flag; without it, those that nobody has changed for two months
    pub(super) name: Option<String>,

    /// The address of the merge request with the code behind the flag, to see where it is deployed
    #[arg(long, value_name = "URL")]
    pub(super) merge_request: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Incident {
    /// Declare one
    Declare {
        /// What is wrong
        #[arg(required = true)]
        title: Vec<String>,

        /// From 1 to 4; those of 1 and 2 hold changes
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i32).range(1..=4))]
        severity: i32,

        #[command(flatten)]
        environments: Environments,
    },

    /// Close one
    Close {
        /// Its number
        incident: i64,

        #[command(flatten)]
        environments: Environments,
    },

    /// Those that are open
    List(Looked),
}

/// The command, or what is said to what is none.
pub(super) fn parse(text: &str) -> Result<Command, Answer> {
    let words = words::split(text).ok_or_else(|| {
        Answer::text(
            "A quote is not closed, or the text ends in a backslash. Write an apostrophe within double quotes: `\"it's\"`.",
        )
    })?;
    let rest = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["gitlab", "run", ..] => &words[2..],
        ["run", ..] => &words[1..],
        [] | ["help" | "--help" | "-h"] | ["gitlab"] => &[],
        [other, ..] => {
            return Err(Answer::text(format!(
                "There is no command {}. Commands begin with `run`: `/chatops run --help` lists them.",
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

/// As in a terminal; but how to ask for help is said once, and not to no end.
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

    use super::{Command, Feature, Line, Value, parse};

    fn set(text: &str) -> super::Set {
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
                "There is no command `feature`. Commands begin with `run`",
            ),
            ("<!channel>", "There is no command `!channel`."),
            ("run it's", "A quote is not closed"),
            ("run fly", "unrecognized subcommand &#39;fly&#39;"),
            ("run feature set f", "required arguments were not provided"),
            (
                "run feature set f maybe",
                "it is true, false, or a whole number from 0 to 100",
            ),
            (
                "run feature set f 101",
                "it is true, false, or a whole number from 0 to 100",
            ),
            (
                "run feature set f 2.5 --actors",
                "it is true, false, or a whole number from 0 to 100",
            ),
            (
                "run feature set f +5 --actors",
                "it is true, false, or a whole number from 0 to 100",
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
