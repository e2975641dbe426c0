//! What can be said after `/chatops`: `run <command>`, or, as the host's own has it, `gitlab run <command>`.

mod command;
mod line;

pub(super) use command::{
    AutoDeploy, Backfill, Command, Delete, Environments, Feature, Incident, Looked, Release,
    Rollout, Run, Set, Value, Workers,
};
pub(super) use line::parse;
