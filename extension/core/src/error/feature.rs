//! Errors of feature flags.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;
use pgrx::spi::quote_literal;

errors! {
    pub(crate) FeatureError:
    Name => (
        ERRCODE_INVALID_NAME,
        "the name of a feature flag, or of a group, has from 1 to 255 characters",
        "The name given is empty or too long.",
        "For example: rename_integrations_workers.",
    ),
    NewName { name: String } => (
        ERRCODE_INVALID_NAME,
        format!("\"{name}\" is not a name for a new feature flag"),
        "It holds white space or control characters, which is most likely a typing error.",
        "For example: rename_integrations_workers.",
    ),
    NoSuchGroup { name: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("group \"{name}\" is not registered"),
        "Nobody would be in it, so the feature flag would be on for nobody.",
        "Register it with lockstep.register_feature_group; lockstep.feature_group lists the groups there are.",
    ),
    Actor { actor: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{actor}\" is not an actor"),
        "An actor is a class, a colon and an id; the ending :opt_out is kept for exceptions.",
        "For example: User:1, Group:22, Project:333.",
    ),
    Percentage { percentage: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!(
            "percentage must be from 0 to 100 with at most 3 decimals, but is {percentage}"
        ),
        "Actors are spread over 100,000 places, so more decimals would not count.",
        "For example: 25, or 0.5.",
    ),
    PercentageOf { of: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("a percentage is of actors or of time, not of \"{of}\""),
        "Of the actors it is always the same ones; of the time, each question is answered by chance.",
        "Pass 'actors' or 'time'.",
    ),
    NoTables { schema: String } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("schema {schema} has no tables features and feature_gates"),
        "Feature flags are kept in these two, which the application shares.",
        format!(
            "Create them: select * from lockstep.attach({}).",
            quote_literal(&schema)
        ),
    ),
    NotAudited { schema: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("changes of feature flags in schema {schema} are not recorded"),
        "A trigger on features or feature_gates is missing or disabled, so nobody would learn who changed the flag.",
        format!(
            "Install it: select * from lockstep.attach({}).",
            quote_literal(&schema)
        ),
    ),
    NotAFeatureTable { table: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("table \"{table}\" is not one of feature flags"),
        "The trigger's function records changes of features and feature_gates.",
        "Drop the trigger; it is installed by lockstep.attach alone.",
    ),
    FullyOn { name: String, hint: &'static str } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("feature \"{name}\" is on for everybody"),
        "What is set for some of the actors would change nothing.",
        hint,
    ),
    OptedOut { name: String, actor: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("actor \"{actor}\" has been opted out of feature \"{name}\""),
        "It would stay off for the actor.",
        format!(
            "End the exception first: select lockstep.remove_feature_opt_out({}, {}).",
            quote_literal(&name),
            quote_literal(&actor)
        ),
    ),
    NotOptedOut { name: String, actor: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("actor \"{actor}\" has not been opted out of feature \"{name}\""),
        "There is no exception to end.",
        "See the column opted_out of lockstep.features.",
    ),
    NoSuchFeature { name: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("feature \"{name}\" does not exist"),
        "Nothing has been set for it.",
        "See lockstep.features for those there are.",
    ),
    Type { kind: String, known: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{kind}\" is not a type of feature flags"),
        format!("Types are {known}."),
        "A flag for a rollout is of type gitlab_com_derisk.",
    ),
    DefaultOn { name: String, kind: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("feature \"{name}\" is of type {kind} and cannot be on by default"),
        "Flags of this type are for the time of a rollout, and end with it.",
        "Choose type beta or ops, or turn the flag on: lockstep.set_feature.",
    ),
    BuiltIn { name: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("feature \"{name}\" is defined by lockstep"),
        "Its definition would be back in a restored database.",
        "Turn it on or off: lockstep.set_feature.",
    ),
    NotDefined { name: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("feature \"{name}\" is not defined by you"),
        "Only a definition that lockstep.define_feature has made can be removed; those of lockstep itself stay.",
        "See lockstep.feature_definition for those there are.",
    ),
    GroupFunction => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the function of a group must take one text, return boolean, and be yours to execute",
        "It is asked with an actor, such as User:1, and answers whether the actor is in the group.",
        "For example: create function is_team_member(actor text) returns boolean ....",
    ),
    NotGroupOwner { name: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("group \"{name}\" does not exist, or another role has registered it"),
        "Only whoever has registered a group can change or forget it.",
        "See lockstep.feature_group.",
    ),
    Wish { message: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "the change of the feature flag is not valid",
        format!("It does not fit: {message}."),
        "For example: {\"enabled\": true, \"groups\": [\"gitlab_team_members\"]}, or {\"percentage\": \"25\", \"of\": \"actors\"}.",
    ),
}
