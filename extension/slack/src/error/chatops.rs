//! Errors of commands from Slack. Messages and details are shown to users there.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) ChatopsError:
    Command { message: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the command does not have Slack's format",
        format!("It does not fit: {message}."),
        "Pass an object with trigger_id, request, team_id, user_id and text.",
    ),
    Wish { message: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the change of the feature flag is not valid",
        format!("It does not fit: {message}."),
        "For example: {\"enabled\": true, \"groups\": [\"gitlab-org\"]}, or {\"percentage\": \"25\", \"of\": \"actors\"}.",
    ),
    OtherStep { name: String, from: f64, now: f64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("feature \"{name}\" is no longer on for {from} % of the actors"),
        format!("The step was confirmed from there; now the flag is on for {now} % of them, or for everybody."),
        "Give the command again.",
    ),
    Action { action: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("unknown action \"{action}\" for a run"),
        "There are four actions.",
        "Pass 'pause', 'resume', 'retry' or 'cancel'.",
    ),
    /// The kind and the given name of each; and whether some are mentions of users.
    NoSuchTargets { targets: Vec<(&'static str, String)>, has_mention: bool } => (
        ERRCODE_NO_DATA_FOUND,
        match targets.len() {
            1 => format!("{} does not exist", named(&targets)),
            _ => format!("these do not exist: {}", named(&targets)),
        },
        looked_up(&targets, has_mention),
        "Use the full path of a project, group or namespace, or the user name of a user.",
    ),
    HostLacks { schema: String, what: String } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("schema {schema} has no {what}"),
        "It is read from GitLab's tables.",
        "Name the schema that contains GitLab's tables.",
    ),
    Incident { id: i64, severity: i64, title: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("incident {id} of severity {severity} is open: {title}"),
        "No flag can be changed in production until it is closed.",
        "Close it, or pass --ignore-production-check if the change resolves it.",
    ),
    IncidentTerms { severity: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!(
            "an incident needs a title and a severity from 1 to 4, but the severity is {severity} or the title is empty"
        ),
        "Incidents of severity 1 and 2 block changes in production.",
        "For example: 'Sign-in is slow', 2.",
    ),
    NoSuchIncident { id: i64 } => (
        ERRCODE_NO_DATA_FOUND,
        format!("incident {id} does not exist, or is already closed"),
        "Only an open incident can be closed.",
        "See lockstep.chatops_incident.",
    ),
    Sha { sha: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{sha}\" is not the SHA of a commit"),
        "A SHA has from 7 to 64 hexadecimal digits.",
        "Copy it from the commit's page.",
    ),
    Milestone { milestone: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{milestone}\" is not a milestone"),
        "A milestone is a major and a minor version.",
        "For example: 15.1.",
    ),
}

/// The length of the longest path in GitLab.
const LONGEST_NAME: usize = 255;

/// How many characters of names are shown, with at least one name; Slack shows about three times as many.
const MOST_NAMED: usize = 1_000;

/// Kind and name of each; names beyond the limit are only counted.
fn named(targets: &[(&'static str, String)]) -> String {
    let mut text = String::new();
    for (place, (kind, name)) in targets.iter().enumerate() {
        let mut name = name.clone();
        if let Some((end, _)) = name.char_indices().nth(LONGEST_NAME) {
            let end = name[..end].char_indices().next_back().map_or(0, |it| it.0);
            name.truncate(end);
            name.push('…');
        }
        let next = format!("{kind} \"{name}\"");
        if place > 0 {
            if text.chars().count() + next.chars().count() > MOST_NAMED {
                return format!("{text} and {} more", targets.len() - place);
            }
            text.push_str(", ");
        }
        text.push_str(&next);
    }
    text
}

/// Where targets of these kinds are looked up.
fn looked_up(targets: &[(&'static str, String)], has_mention: bool) -> &'static str {
    let has_group = targets.iter().any(|(kind, _)| *kind == "feature group");
    match (has_mention, has_group, targets.len()) {
        (true, ..) => {
            "A mention means the GitLab account that the user has linked with Slack; without a linked account use the GitLab user name."
        }
        (_, true, _) => {
            "Feature groups must be registered there with lockstep.register_feature_group."
        }
        (_, _, 1) => "It is looked up in GitLab's tables.",
        _ => "They are looked up in GitLab's tables.",
    }
}

impl ChatopsError {
    pub(crate) fn no_such(kind: &'static str, name: impl Into<String>) -> Self {
        Self::NoSuchTargets {
            targets: vec![(kind, name.into())],
            has_mention: false,
        }
    }
}
