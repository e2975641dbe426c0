//! Settings of integrations: what holds ([`effective`](mod@effective)), what may be given ([`change`]), how it is set ([`configure`]), also by users of Slack
//! ([`workspace`]). What the host keeps encrypted is listed for whoever has its key ([`properties`]), and what is of no use goes ([`gone`]).

mod change;
pub(crate) mod configure;
mod effective;
mod gone;
mod properties;
pub(crate) mod workspace;

pub(crate) use configure::channels_now;
pub(crate) use effective::{Branches, Effective, Settings, effective};
pub(crate) use gone::sweep_gone;
