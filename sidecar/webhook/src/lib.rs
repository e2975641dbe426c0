//! GitLab's webhooks, as far as they are used.
//!
//! An [`Event`] is typed once, for the extension, which decides who is notified, and for the sidecar, which writes the message.
//! They read it differently ([`Field`]): the extension refuses an event if a field it needs has the wrong type, the sidecar shows
//! what is there. What neither uses is not stored ([`trim()`], or [`kept`] while reading), and what could not be parsed later is
//! not accepted ([`check_is_readable`]).

mod change;
mod event;
mod field;
mod keep;
mod known;
mod object;
mod readable;
#[cfg(test)]
mod tests;
mod trim;

pub use change::Differs;
pub use event::*;
pub use field::{BadField, Field, List, Object, Text};
pub use keep::kept;
pub use object::*;
pub use readable::check_is_readable;
pub use trim::{trim, trimmed};
