//! What can be said to the functions that set columns up, and what they answer.

mod attach;
mod column;
mod matching;
pub(crate) mod refusal;
mod table;
mod trigger;
mod typing;
