//! What people do from Slack, checked and written in one transaction. Each change is one [`command`], done once and recorded with
//! whoever gave it: flags are set ([`flag`], by the functions of lockstep: [`feature`]) for actors that are found in the host's tables ([`target`]), unless an [`incident`]
//! holds them; backfills are controlled ([`backfill`]) and workers retired ([`worker`]). What is only looked at: how a rollout stands
//! ([`rollout`]), where code is deployed ([`deployment`]), which project a path is of ([`project`]), and who may do all this ([`member`]).

mod backfill;
mod command;
mod deployment;
mod drift;
mod feature;
mod flag;
mod incident;
mod member;
mod milestone;
mod path;
mod project;
mod rollout;
mod sha;
mod table;
mod target;
mod worker;

pub(crate) use table::{FEATURE, attach};
