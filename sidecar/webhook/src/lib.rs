//! What GitLab's webhooks send, as far as anybody asks for it.
//!
//! An [`Event`] is typed once, for the extension, which decides who is told of it, and for the sidecar, which tells. Either asks in its
//! own way ([`Field`]): the extension refuses an event whose field is of the wrong type if it needs that field, the sidecar tells what is
//! there. What neither shows is not kept ([`trim()`], or [`kept`] while it is read), and what could not be read later is not taken ([`check_is_readable`]).

mod event;
mod field;
mod keep;
mod readable;
#[cfg(test)]
mod tests;
mod trim;

pub use event::*;
pub use field::{BadField, Field, List, Object, Text};
pub use keep::kept;
pub use readable::check_is_readable;
pub use trim::{trim, trimmed};
