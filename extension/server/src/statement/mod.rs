//! Statements, on any table ([`prepared`]) or on our own ([`own`]), with their arguments and answers.

mod answer;
mod argument;
mod connection;
mod jsonb;
mod own;
mod prepared;

pub use answer::Answer;
pub use argument::{datum, keys_argument, nullable};
pub use connection::{commit, connected, is_atomic, with_snapshot};
pub use jsonb::{Jsonb, jsonb_text, jsonb_typeof};
pub use own::OwnStatement;
pub use prepared::{Statement, Target, View};
