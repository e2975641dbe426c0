//! A cache column's definition ([`definition`], [`condition`]), which source rows match ([`matching`]), and the triggers that it needs
//! ([`triggers`], [`trigger`]), some of which bring it to other servers ([`carried`]).

mod carried;
mod condition;
mod definition;
mod matching;
mod trigger;
mod triggers;

pub(crate) use definition::{Definition, Resolved};
pub(crate) use matching::Test;
pub(crate) use trigger::{Flaw, Installed, Trigger, installed_on};
pub(crate) use triggers::{FLUSH, is_served, row_triggers, shared_triggers};
