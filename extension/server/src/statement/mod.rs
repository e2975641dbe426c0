//! Statements, on any table ([`prepared`]) or on our own ([`own`]), with their arguments and answers.

mod answer;
mod argument;
mod connection;
mod own;
mod prepared;

pub use answer::Answer;
pub use argument::{datum, jsonb_text, jsonb_typeof, keys_argument, nullable};
pub use connection::{commit, connected, is_atomic, with_snapshot};
pub use own::OwnStatement;
pub use prepared::{Statement, Target, View};
