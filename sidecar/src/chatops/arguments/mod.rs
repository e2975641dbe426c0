//! The arguments of `/chatops`: `run <command>`, or `gitlab run <command>` as GitLab's own chatops has it.

mod command;
mod line;
mod words;

pub(super) use command::{
    AutoDeploy, Backfill, Command, Delete, Environments, Feature, Incident, Looked, Release,
    Rollout, Run, Set, Value, Workers,
};
pub(super) use line::parse;
pub(super) use words::typed;
