//! Commands from Slack, checked and executed in one transaction. Each change is a [`command`], executed once and recorded with
//! its user. Flags are set ([`flag`], through lockstep's functions: [`feature`]) for actors found in the application's tables
//! ([`target`]), unless an [`incident`] blocks it; backfills are controlled ([`backfill`]) and workers retired ([`worker`]).
//! Read-only: the state of a rollout ([`rollout`]), where code is deployed ([`deployment`]), which project has a path
//! ([`project`]), and who may do all this ([`member`]).

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
