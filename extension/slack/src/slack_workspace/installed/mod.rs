//! Installing and removing the app in a workspace: a ticket from the application ([`ticket`]), the OAuth flow ([`state`]), the
//! installation ([`install`](mod@install)) and its rows in the application ([`write`](mod@write)), token refresh ([`token`]) and
//! re-encryption ([`reseal`]), and uninstalling ([`uninstall`](mod@uninstall)).

mod install;
mod reseal;
mod state;
mod ticket;
mod token;
mod uninstall;
mod write;

pub(crate) use uninstall::{uninstall, unlink_accounts};
