//! Errors of subscriptions.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) SubscriptionError:
    NotLinked => (
        ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
        "the user has not linked a GitLab account",
        "A project is followed by those who maintain it, which only a linked account shows.",
        "Link the account in GitLab: User settings, Integration accounts.",
    ),
    NotAllowed { project: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("there is no project \"{project}\" that the user maintains"),
        "A channel is subscribed by a maintainer of the project. Whether there is another project of that name is not told.",
        "Check the path, or ask a maintainer of the project to subscribe the channel.",
    ),
    NotSubscriber { project: String, channel: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("the user may not end the subscription of {channel} to \"{project}\""),
        "It is ended by who subscribed the channel, by a maintainer of the project with a linked account, and by managers of the app.",
        "Ask one of them, or an administrator: lockstep.unsubscribe_slack_channel.",
    ),
    NotSubscribed { project: String, channel: String } => (
        ERRCODE_NO_DATA_FOUND,
        format!("{channel} is not subscribed to \"{project}\""),
        "The workspace has no subscription of that channel to that project.",
        "See lockstep.slack_subscriptions.",
    ),
    NoApp { team: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the app is not installed in Slack workspace \"{team}\""),
        "Messages are sent with the token of the workspace that follows the project, and there is none.",
        "Install the app there first; lockstep.list_slack_workspaces lists where it is.",
    ),
    TooMany { project: String, most: i64 } => (
        ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("{most} channels of the workspace follow \"{project}\" already"),
        "An event of the project is a message to each of them.",
        "End another subscription first, or ask an administrator: lockstep.subscribe_slack_channel.",
    ),
    Busy { project: String, channel: String } => (
        ERRCODE_OBJECT_IN_USE,
        format!("the subscription of {channel} to \"{project}\" keeps changing"),
        "Another session adds and removes it.",
        "Try again.",
    ),
}
