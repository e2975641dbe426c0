//! Cache columns are added and removed ([`install`](mod@install)), all that are known of GitLab at once ([`attach`](mod@attach)). Whether one does its work
//! ([`state`]) and whether its column is right ([`drift`]) can be asked; what the host's DDL has made go wrong is mended ([`mend`](mod@mend)),
//! and so is what an [`earlier`] version has installed.

mod attach;
mod drift;
mod earlier;
mod install;
mod mend;
mod state;

pub(crate) use attach::{attach, detach, features};
pub(crate) use drift::targets;
pub(crate) use install::give_back_all;
