//! Errors of subscriptions. What a Slack user is refused is an outcome, not an error: a code would be shared with other causes.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) SubscriptionError:
    NoApp { team: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the app is not installed in Slack workspace \"{team}\""),
        "Messages are sent with the token of the workspace that follows the project, and there is none.",
        "Install the app there first; lockstep.list_slack_workspaces lists where it is.",
    ),
    Busy { project: String, channel: String } => (
        ERRCODE_OBJECT_IN_USE,
        format!("the subscription of {channel} to \"{project}\" keeps changing"),
        "Another session adds and removes it.",
        "Try again.",
    ),
}
