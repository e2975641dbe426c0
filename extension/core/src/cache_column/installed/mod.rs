//! Cache columns are added and removed ([`install`](mod@install)), GitLab's all at once ([`attach`](mod@attach)). Callers can
//! check whether a definition works ([`state`]) and whether its values are right ([`drift`]). Definitions that the application's
//! DDL has broken are repaired ([`mend`](mod@mend)), and so are those of an [`earlier`] version.

mod attach;
mod drift;
mod earlier;
mod install;
mod mend;
mod state;

pub(crate) use attach::{attach, detach, features};
pub(crate) use drift::targets;
pub(crate) use install::give_back_all;
