//! Errors of events and of their notifications.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) EventError:
    UnknownKind { kind: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{kind}\" is not a kind of event that is sent to Slack"),
        "An event says in object_kind what it is.",
        "Pass an event as the host's webhooks have it.",
    ),
    Field { field: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the event is malformed",
        format!("Field \"{field}\" is missing or has the wrong type."),
        "Pass an event as the host's webhooks have it, and a key of at most 255 characters.",
    ),
    NoSuchPlace { place: String } => (
        ERRCODE_NO_DATA_FOUND,
        format!("{place} does not exist"),
        "An event belongs to a project of the host; that a group was mentioned, to the group.",
        "Name the schema that holds the host's tables, if it is another than public.",
    ),
    Keys { events: usize, keys: usize } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("there are {events} events, but {keys} keys"),
        "Each event has one key; null stands for one that no other event has.",
        "Pass arrays of the same length.",
    ),
    Setting { path: String, problem: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("setting \"{path}\" {problem}"),
        "Nothing was changed.",
        "See the names and values that lockstep.slack_notifications shows.",
    ),
    NoSuchIntegration { id: i64 } => (
        ERRCODE_NO_DATA_FOUND,
        format!("integration {id} is not one of the Slack app"),
        "It was removed, or is of another class.",
        "Look for type_new 'Integrations::GitlabSlackApplication' in the host's integrations.",
    ),
    NotInstalled { id: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("integration {id} is not installed in any Slack workspace"),
        "It has no row in slack_integrations.",
        "Install the app for its owner: lockstep.issue_slack_install_ticket.",
    ),
    NoChannels { id: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("integration {id} has no channels"),
        "Neither its settings nor those it inherits name any.",
        "Set some: lockstep.set_slack_notifications.",
    ),
}
