//! Errors of Slack workspaces.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;
use pgrx::spi::quote_literal;

errors! {
    pub(crate) SlackError:
    NotAttached { schema: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("schema {schema} has no Slack integrations that are kept in lockstep"),
        "It has no table slack_integrations, or the triggers of lockstep on it are missing or disabled.",
        format!(
            "Install them: select * from lockstep.attach_slack({}).",
            quote_literal(&schema)
        ),
    ),
    NotASlackTrigger { trigger: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("trigger \"{trigger}\" does not fire as its function expects"),
        "The function is for slack_integrations and slack_integrations_scopes of one schema.",
        "Drop the trigger; it is installed by lockstep.attach alone.",
    ),
    Owners => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "exactly one of project_id, group_id and organization_id must be given",
        "An integration belongs to one project, one group or one organization.",
        "Leave the other two out, or pass null.",
    ),
    NoSuchOwner { column: &'static str, id: i64 } => (
        ERRCODE_NO_DATA_FOUND,
        format!("{column} {id} does not exist"),
        "An integration needs an owner.",
        "Name a project, group or organization of the host, in the schema that holds its tables.",
    ),
    AliasLength => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "an alias has from 2 to 4096 characters",
        "It is what users of Slack type to say which project they mean.",
        "For example: the full path of the project.",
    ),
    AliasTaken { alias: String, team: String } => (
        ERRCODE_UNIQUE_VIOLATION,
        format!("alias \"{alias}\" is taken in Slack workspace \"{team}\""),
        "Another integration of the workspace has it.",
        "Choose another, or leave it out for the full path of the owner.",
    ),
    NotInserted => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the row of the Slack integration was not stored",
        "A trigger on slack_integrations kept it out.",
        "Look at the triggers of the host on that table.",
    ),
    Empty { name: &'static str } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{name} must not be empty"),
        "It is what tells one from the other.",
        "Pass what Slack or the browser sent.",
    ),
    TooLong { name: &'static str, most: usize } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{name} is longer than {most} characters"),
        "There is no room for more.",
        "Pass what Slack sent.",
    ),
    NoWorkspace => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "team_id or enterprise_id must be given",
        "A request of Slack comes from a workspace, or from an enterprise as a whole.",
        "Pass what Slack sent.",
    ),
    NoChance => (
        ERRCODE_INTERNAL_ERROR,
        "the server has no source of random bytes",
        "Nobody may be able to guess them.",
        "See what its operating system says of it.",
    ),
    Ticket => (
        ERRCODE_NO_DATA_FOUND,
        "the ticket is unknown, used or expired",
        "A ticket is good once, for a time.",
        "Ask for another: lockstep.issue_slack_install_ticket.",
    ),
    StateInUse => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the state was begun with already",
        "It was begun by another browser, with another ticket, or has been taken.",
        "Begin with a new one.",
    ),
    StateNotTaken => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the installation cannot be finished",
        "Its state was not taken, or has been used up, as its ticket may have been by another installation.",
        "Start over with lockstep_api.begin_slack_install.",
    ),
    UnknownWorkspace { team: String } => (
        ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
        format!("the new Slack workspace \"{team}\" needs a ticket"),
        "It has no installation that could be renewed, and the caller does not allow new workspaces.",
        "Start with a ticket: lockstep.issue_slack_install_ticket.",
    ),
    Worker { worker: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("\"{worker}\" is not a worker of the Slack app"),
        "Only jobs of workers whose name begins with Slack:: can be enqueued so.",
        "For other workers there is lockstep.enqueue_job.",
    ),
    MaxRows { rows: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("max_rows must not be negative, but is {rows}"),
        "It is the number of rows that are returned at most.",
        "Leave it out for the default.",
    ),
    NoSuchRow { id: i64, team: String } => (
        ERRCODE_NO_DATA_FOUND,
        format!("there is no integration {id} in Slack workspace \"{team}\""),
        "It was removed, or belongs to another workspace.",
        "See lockstep_api.list_slack_integrations for those there are.",
    ),
    NotManager { alias: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("the user does not manage Slack integration \"{alias}\""),
        "Managers are maintainers of its project or group who have linked their account, and whoever installed it with a ticket of it.",
        "Link the account, or install it with a ticket: lockstep.issue_slack_install_ticket.",
    ),
    Confidential { alias: String } => (
        ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
        format!(
            "only a linked account may choose where confidential events of Slack integration \"{alias}\" go"
        ),
        "A channel would learn of them that does not now.",
        "Switch confidential events off, or link the account of a maintainer of the project or group.",
    ),
    NotFlushed { rows: usize } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("{rows} noted rows of Slack integrations were not flushed"),
        "Row triggers noted changes, but the statement trigger lockstep_slack_flush did not fire, so the rows of a team would differ.",
        "Enable the trigger, or call lockstep.detach_slack and lockstep.attach_slack.",
    ),
}
