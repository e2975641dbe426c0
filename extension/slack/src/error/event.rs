//! Errors of events and of their notifications.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) EventError:
    UnknownKind { kind: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{kind}\" is not a kind of event that is sent to Slack"),
        "The field object_kind contains the kind of an event.",
        "Pass an event in the format of GitLab's webhooks.",
    ),
    Field { field: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the event is malformed",
        format!("Field \"{field}\" is missing or has the wrong type."),
        "Pass an event in the format of GitLab's webhooks, and a key of at most 255 characters.",
    ),
    NoSuchPlace { place: String } => (
        ERRCODE_NO_DATA_FOUND,
        format!("{place} does not exist"),
        "An event belongs to a project in GitLab; a mention of a group, to the group.",
        "Name the schema that contains GitLab's tables, if it is not public.",
    ),
    Keys { events: usize, name: &'static str, number: usize } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("there are {events} events, but {number} {name}"),
        "Each event has one key; null stands for a unique key, and for an event that came by no webhook.",
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
        format!("integration {id} does not belong to the Slack app"),
        "It was removed, or has another class.",
        "Look for type_new 'Integrations::GitlabSlackApplication' in GitLab's table integrations.",
    ),
    SettingsChanged { id: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the routes or reminders of integration {id} have changed since they were read"),
        "Nothing was changed.",
        "Read them again, and change those: lockstep_api.slack_workspace_notifications.",
    ),
    NotInstalled { id: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("integration {id} is not installed in any Slack workspace"),
        "It has no row in slack_integrations.",
        "Install the app for its owner: lockstep.issue_slack_install_ticket.",
    ),
    NoReviews { schema: String, table: &'static str } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("schema {schema} has no table {table} with the columns that a reminder needs"),
        "Reminders read GitLab's merge_requests, merge_request_reviewers and users.",
        "Update GitLab, or unschedule the job: lockstep.unschedule_job.",
    ),
    NoChannels { id: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("integration {id} has no channels"),
        "Neither its settings nor those it inherits name any.",
        "Set some: lockstep.set_slack_notifications.",
    ),
}
