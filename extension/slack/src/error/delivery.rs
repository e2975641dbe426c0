//! Errors of deliveries to Slack.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) DeliveryError:
    Most { most: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("most must be from 1 to 10000, but is {most}"),
        "It is the maximum number of deliveries to claim, one per channel, which other senders then cannot get.",
        "Claim as many as you can send within about a second.",
    ),
    Lease => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "lease_for must be from one second to 24 hours",
        "A sender that has not reported for this long is considered lost, and another may send its messages again.",
        "For example: '1 minute', if requests to Slack time out after half of that.",
    ),
    PerMinute { per_minute: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("per_minute must be from 1 to 100000, but is {per_minute}"),
        "It is the number of messages per minute that all senders together may send to one workspace.",
        "For example: 240, as Slack allows several hundred.",
    ),
    NotAnArray { actual: &'static str } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("results must be an array, but is of type {actual}"),
        "It contains the result of each delivery as an object.",
        "For example: [{\"delivery\": 1, \"lease\": 2, \"outcome\": \"delivered\"}].",
    ),
    Malformed { place: usize, reason: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("result {place} is malformed: {reason}"),
        "No result of the array was accepted.",
        "Each has delivery, lease and outcome, and may have error, needed, wait, ago, ts and channel.",
    ),
    NotACopy => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "nothing is held in this database",
        "Deliveries can only be discarded this way in a database that was restored from a dump or created from a template.",
        "There is nothing to do.",
    ),
}
