//! Settings of integrations: which apply ([`effective`](mod@effective)), which are valid ([`change`],
//! [`review_reminder`], [`route`], [`value`]), and how they are set
//! ([`configure`]), also by Slack users ([`workspace`]). Properties that the application stores encrypted are listed for the
//! sidecar, which has the key ([`properties`]); channels that cannot be reached are listed ([`mod@trouble`]); data that is no longer
//! useful is removed ([`gone`]).

mod change;
pub(crate) mod configure;
mod effective;
mod gone;
mod properties;
mod review_reminder;
mod route;
pub(crate) mod trouble;
mod value;
pub(crate) mod workspace;

pub(crate) use configure::channels_now;
pub(crate) use effective::{Branches, Effective, Settings, effective};
pub(crate) use gone::sweep_gone;
pub(crate) use route::{Route, conditions};
pub(crate) use trouble::{Trouble, troubles};
pub(crate) use value::{channels, is_id_of, setting, short, truth};
