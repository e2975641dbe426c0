//! What can be said after `/chatops`: `run <command>`, or, as the host's own has it, `gitlab run <command>`.

mod command;
mod line;
mod words;

pub(super) use command::{
    AutoDeploy, Backfill, Command, Delete, Environments, Feature, Incident, Looked, Release,
    Rollout, Run, Set, Value, Workers,
};
pub(super) use line::parse;
pub(super) use words::typed;
