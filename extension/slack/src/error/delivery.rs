//! Errors of deliveries to Slack.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) DeliveryError:
    Most { most: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("most must be from 1 to 10000, but is {most}"),
        "It is how many deliveries are claimed at once, one a channel, and kept from other senders.",
        "Claim as many as can be sent within a second or so.",
    ),
    Lease => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "lease_for must be from one second to 24 hours",
        "A sender that is not heard of for so long is given up, and another sends again what it may have sent.",
        "For example: '1 minute', if a request to Slack is given up after half of that.",
    ),
    PerMinute { per_minute: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("per_minute must be from 1 to 100000, but is {per_minute}"),
        "It is how many messages a minute all senders together send to one workspace.",
        "For example: 240, as Slack allows several hundred.",
    ),
    NotAnArray { actual: &'static str } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("results must be an array, but is of type {actual}"),
        "It tells what became of deliveries, an object each.",
        "For example: [{\"delivery\": 1, \"lease\": 2, \"outcome\": \"delivered\"}].",
    ),
    Malformed { place: usize, reason: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("result {place} is malformed: {reason}"),
        "No result of the array was taken.",
        "Each has delivery, lease and outcome, and may have error, needed, wait, ago, ts and channel.",
    ),
    NotACopy => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "nothing is held in this database",
        "Deliveries are dropped in a database only that was restored from a dump or made from a template.",
        "There is nothing to do.",
    ),
}
