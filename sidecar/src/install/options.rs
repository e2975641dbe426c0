//! Who may install the app.

use std::collections::HashSet;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::settings::{Problem, slack_ids};

/// Which workspaces may install the app without the link of a project; those that have it may always renew it
#[derive(Args, Debug)]
pub(crate) struct Installers {
    /// The id of a Slack workspace or organization, such as T0123ABCD, that may install the app without a link that connects a
    /// project; may be given several times
    #[arg(
        long = "workspace",
        value_name = "ID",
        env = "LOCKSTEP_WORKSPACES",
        value_delimiter = ','
    )]
    pub(crate) workspaces: Vec<String>,

    /// Any workspace may install the app
    #[arg(long, env = "LOCKSTEP_ANY_WORKSPACE", value_parser = BoolishValueParser::new())]
    pub(crate) any_workspace: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Allowed {
    Any,
    These(HashSet<String>),
}

impl Allowed {
    pub(crate) fn new(arguments: &Installers, problems: &mut Vec<Problem>) -> Self {
        let mut wrong = Vec::new();
        let ids = slack_ids(&arguments.workspaces, ['T', 'E'], &mut wrong);
        problems.extend(wrong.into_iter().map(|id| Problem {
            setting: "--workspace (LOCKSTEP_WORKSPACES)",
            wrong: format!("has {id:?}, which is no id of a workspace"),
            hint: "it begins with T, or with E for an organization, as in the address of Slack in a browser: app.slack.com/client/T0123ABCD",
        }));
        match arguments.any_workspace {
            true => Self::Any,
            false => Self::These(ids),
        }
    }

    /// A workspace, or the organization that it belongs to.
    pub(super) fn has(&self, team: &str, organization: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::These(ids) => {
                ids.contains(team) || organization.is_some_and(|id| ids.contains(id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowed, Installers};

    fn allowed(ids: &[&str], any_workspace: bool) -> (Allowed, usize) {
        let arguments = Installers {
            workspaces: ids.iter().map(ToString::to_string).collect(),
            any_workspace,
        };
        let mut problems = Vec::new();
        let allowed = Allowed::new(&arguments, &mut problems);
        (allowed, problems.len())
    }

    #[test]
    fn workspaces_are_those_of_the_list() {
        let (list, problems) = allowed(&["T1", " E2 ", ""], false);
        assert_eq!(problems, 0);
        for (team, organization, is_allowed) in [
            ("T1", None, true),
            ("T1", Some("E9"), true),
            ("T3", Some("E2"), true),
            ("E2", Some("E2"), true),
            ("T3", None, false),
            ("T", Some("E"), false),
            ("", Some(""), false),
        ] {
            assert_eq!(
                list.has(team, organization),
                is_allowed,
                "{team} {organization:?}"
            );
        }
        assert!(!allowed(&[], false).0.has("T1", None));
        assert!(allowed(&[], true).0.has("T1", None));
        assert_eq!(allowed(&["acme", "T1-2", "t1"], false).1, 3);
    }
}
