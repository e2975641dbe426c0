//! Cache columns are added and removed ([`install`](mod@install)), GitLab's ([`builtin`]) all at once ([`attach`](mod@attach)).
//! Callers can check whether a definition works ([`state`]) and whether its values are right ([`drift`]). Definitions that the
//! application's DDL has broken are repaired ([`repair`](mod@repair)), and so are those of an [`upgrade`] version.
//! Triggers on other servers are for Citus to create ([`shards`]). All of it goes with the extension ([`leave`]).

mod attach;
mod builtin;
mod drift;
mod install;
mod leave;
mod repair;
mod shards;
mod state;
mod upgrade;

pub(crate) use attach::{attach, detach};
pub(crate) use builtin::features;
pub(crate) use drift::targets;
pub(crate) use leave::{give_back_all, take_down_from_shards};
