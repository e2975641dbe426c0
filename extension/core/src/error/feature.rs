//! Errors of feature flags.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;
use pgrx::spi::quote_literal;

errors! {
    pub(crate) FeatureError:
    Name => (
        ERRCODE_INVALID_NAME,
        "the name of a feature flag or group must have from 1 to 255 characters",
        "The name given is empty or too long.",
        "For example: rename_integrations_workers.",
    ),
    NewName { name: String } => (
        ERRCODE_INVALID_NAME,
        format!("\"{name}\" is not a valid name for a new feature flag"),
        "It contains white space or control characters, which is most likely a typo.",
        "For example: rename_integrations_workers.",
    ),
    NoSuchGroup { name: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("group \"{name}\" is not registered"),
        "Nobody would be in it, so the feature flag would be on for nobody.",
        "Register it with lockstep.register_feature_group; lockstep.feature_group lists the registered groups.",
    ),
    Actor { actor: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{actor}\" is not an actor"),
        "An actor is a class, a colon and an id; the suffix :opt_out is reserved for opt-outs.",
        "For example: User:1, Group:22, Project:333.",
    ),
    Percentage { percentage: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!(
            "percentage must be from 0 to 100 with at most 3 decimals, but is {percentage}"
        ),
        "Actors are hashed into 100,000 buckets, so more decimals would have no effect.",
        "For example: 25, or 0.5.",
    ),
    PercentageOf { of: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("a percentage applies to actors or time, not to \"{of}\""),
        "A percentage of actors always selects the same ones; a percentage of time decides each check at random.",
        "Pass 'actors' or 'time'.",
    ),
    NoTables { schema: String } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("schema {schema} has no tables features and feature_gates"),
        "Feature flags are stored in these two tables, shared with the application.",
        format!(
            "Create them: select * from lockstep.attach({}).",
            quote_literal(&schema)
        ),
    ),
    NotAudited { schema: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("changes of feature flags in schema {schema} are not recorded"),
        "A trigger on features or feature_gates is missing or disabled, so the change would not be audited.",
        format!(
            "Install it: select * from lockstep.attach({}).",
            quote_literal(&schema)
        ),
    ),
    NotAFeatureTable { table: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("table \"{table}\" is not a feature flag table"),
        "The trigger's function records changes of features and feature_gates.",
        "Drop the trigger; only lockstep.attach installs it.",
    ),
    FullyOn { name: String, hint: &'static str } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("feature \"{name}\" is on for everybody"),
        "A setting for some actors would have no effect.",
        hint,
    ),
    OptedOut { name: String, actor: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("actor \"{actor}\" has been opted out of feature \"{name}\""),
        "It would stay off for the actor.",
        format!(
            "End the opt-out first: select lockstep.remove_feature_opt_out({}, {}).",
            quote_literal(&name),
            quote_literal(&actor)
        ),
    ),
    NotOptedOut { name: String, actor: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("actor \"{actor}\" has not been opted out of feature \"{name}\""),
        "There is no opt-out to end.",
        "See the column opted_out of lockstep.features.",
    ),
    NoSuchFeature { name: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("feature \"{name}\" does not exist"),
        "Nothing has been set for it.",
        "All flags are listed in lockstep.features.",
    ),
    Type { kind: String, known: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{kind}\" is not a type of feature flag"),
        format!("Types are {known}."),
        "A flag for a rollout is of type gitlab_com_derisk.",
    ),
    DefaultOn { name: String, kind: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("feature \"{name}\" is of type {kind} and cannot be on by default"),
        "Flags of this type only exist during a rollout.",
        "Choose type beta or ops, or turn the flag on: lockstep.set_feature.",
    ),
    BuiltIn { name: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("feature \"{name}\" is defined by lockstep"),
        "Its definition would return in a restored database.",
        "Turn it on or off: lockstep.set_feature.",
    ),
    NotDefined { name: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("feature \"{name}\" has no definition that you can remove"),
        "Only definitions made with lockstep.define_feature can be removed, not lockstep's own.",
        "All definitions are listed in lockstep.feature_definition.",
    ),
    GroupFunction => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the function of a group must take one text and return boolean",
        "It is called with an actor, such as User:1, and returns whether the actor is in the group.",
        "For example: create function is_team_member(actor text) returns boolean ....",
    ),
    GroupRights => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        "the function of a group must belong to you",
        "It is called with the rights of its owner, which you do not have.",
        "Let its owner register it, who needs the role lockstep_admin for that, or become a member of that role.",
    ),
    NotGroupOwner { name: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("group \"{name}\" does not exist, or its function is another role's"),
        "A group that works can be changed or removed by roles with the rights of its function's owner, one that does not work by every member of lockstep_admin.",
        "See lockstep.feature_group_status.",
    ),
    Wish { message: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the change of the feature flag is not valid",
        format!("It does not fit: {message}."),
        "For example: {\"enabled\": true, \"groups\": [\"gitlab_team_members\"]}, or {\"percentage\": \"25\", \"of\": \"actors\"}.",
    ),
}
