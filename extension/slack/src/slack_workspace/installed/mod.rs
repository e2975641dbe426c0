//! The app is installed in a workspace, and removed: a ticket of the application ([`ticket`]), the way through Slack ([`state`]), the
//! installation ([`install`](mod@install)) and what it writes at the host ([`write`](mod@write)), tokens that are refreshed ([`token`]) and encrypted anew
//! ([`reseal`]), until the workspace is uninstalled ([`uninstall`](mod@uninstall)).

mod install;
mod reseal;
mod state;
mod ticket;
mod token;
mod uninstall;
mod write;

pub(crate) use uninstall::uninstall;
