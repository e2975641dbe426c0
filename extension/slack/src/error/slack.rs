//! Errors of Slack workspaces.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;
use pgrx::spi::quote_literal;

errors! {
    pub(crate) SlackError:
    NotAttached { schema: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("schema {schema} has no attached Slack integrations"),
        "It has no table slack_integrations, or lockstep's triggers on it are missing or disabled.",
        format!(
            "Install them: select * from lockstep.attach_slack({}).",
            quote_literal(&schema)
        ),
    ),
    NotASlackTrigger { trigger: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("trigger \"{trigger}\" does not fire as its function expects"),
        "The function is for slack_integrations and slack_integrations_scopes of one schema.",
        "Drop the trigger; only lockstep.attach installs it.",
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
        "Name a project, group or organization in GitLab, in the schema that contains its tables.",
    ),
    AliasLength => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "an alias has from 2 to 4096 characters",
        "Slack users type it to name a project.",
        "For example: the full path of the project.",
    ),
    AliasTaken { alias: String, team: String } => (
        ERRCODE_UNIQUE_VIOLATION,
        format!("alias \"{alias}\" is taken in Slack workspace \"{team}\""),
        "Another integration of the workspace uses it.",
        "Choose another, or leave it out for the full path of the owner.",
    ),
    NotInserted => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the row of the Slack integration was not stored",
        "A trigger on slack_integrations discarded it.",
        "Check the application's triggers on that table.",
    ),
    Empty { name: &'static str } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{name} must not be empty"),
        "It identifies the row.",
        "Pass what Slack or the browser sent.",
    ),
    TooLong { name: &'static str, most: usize } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{name} is longer than {most} characters"),
        "Longer values cannot be stored.",
        "Pass what Slack sent.",
    ),
    NoWorkspace => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "team_id or enterprise_id must be given",
        "A request from Slack comes from a workspace, or from a whole enterprise.",
        "Pass what Slack sent.",
    ),
    NoChance => (
        ERRCODE_INTERNAL_ERROR,
        "the server has no source of random bytes",
        "They are needed for values that nobody can guess.",
        "Check the operating system's log.",
    ),
    Ticket => (
        ERRCODE_NO_DATA_FOUND,
        "the ticket is unknown, used or expired",
        "A ticket is valid once, for a limited time.",
        "Ask for another: lockstep.issue_slack_install_ticket.",
    ),
    StateInUse => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the state was already used to start an installation",
        "It was used in another browser or with another ticket, or has been taken.",
        "Start over with a new one.",
    ),
    StateNotTaken => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the installation cannot be finished",
        "Its state was not taken or is used up, possibly because another installation used its ticket.",
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
        "This function only enqueues jobs of workers whose name begins with Slack::.",
        "For other workers call lockstep.enqueue_job.",
    ),
    MaxRows { rows: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("max_rows must not be negative, but is {rows}"),
        "It is the maximum number of rows to return.",
        "Leave it out for the default.",
    ),
    Lengths { name: &'static str, length: usize, aliases: usize } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{name} has {length} elements, but aliases has {aliases}"),
        "The elements at the same place belong together.",
        "Pass as many, null where there is no value.",
    ),
    TooManyAliases { aliases: usize } => (
        ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("{aliases} aliases are too many"),
        "One call looks for 1000 at most, because others wait for it.",
        "Split them into several calls.",
    ),
    NoSuchRow { id: i64, team: String } => (
        ERRCODE_NO_DATA_FOUND,
        format!("there is no integration {id} in Slack workspace \"{team}\""),
        "It was removed, or belongs to another workspace.",
        "All integrations are listed by lockstep_api.list_slack_integrations.",
    ),
    NotManager { alias: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("the user does not manage Slack integration \"{alias}\""),
        "Managers are maintainers of its project or group with a linked account, and users who installed it with a ticket for it.",
        "Link the account, or install with a ticket: lockstep.issue_slack_install_ticket.",
    ),
    Confidential { alias: String } => (
        ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
        format!(
            "only a linked account may choose where confidential events of Slack integration \"{alias}\" go"
        ),
        "The change would send them, or incidents, which may be confidential, to another channel, now, where the settings are inherited, or once they are switched on.",
        "Name no channels for them, in routes neither, and switch them off, also where the settings are inherited; or link the account of a maintainer.",
    ),
    NotFlushed { rows: usize } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("{rows} noted rows of Slack integrations were not flushed"),
        "Row triggers noted changes, but the statement trigger lockstep_slack_flush did not fire, so the rows of a team would differ.",
        "Enable the trigger, or call lockstep.detach_slack and lockstep.attach_slack.",
    ),
}
