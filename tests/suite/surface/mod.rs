//! The functions that define columns: their arguments and results.

mod arguments;
mod attach;
mod column;
mod jsonb;
mod matching;
pub(crate) mod refusal;
mod table;
mod trigger;
mod typing;
