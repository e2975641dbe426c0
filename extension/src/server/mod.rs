//! What the extension asks of the server besides running in it: statements ([`statement`]) and their arguments ([`argument`]), with whose
//! rights they run ([`rights`]), errors that are caught ([`attempt`](mod@attempt)), and what is so in the session and the transaction now
//! ([`session`], [`moment`]).

mod argument;
mod attempt;
mod moment;
mod session;
mod statement;
mod rights;

pub(crate) use argument::{datum, jsonb_text, keys_argument, nullable};
pub(crate) use attempt::{Failure, attempt, attempt_catching};
pub(crate) use moment::Moment;
pub(crate) use session::{
    is_in_transaction_block, is_serializable, notify, random, random_bytes, sleep, trigger_depth,
    with_catalog_path, with_settings, with_snapshot,
};
pub(crate) use statement::{Answer, Statement, Target, View, connected};
pub(crate) use rights::{
    as_ourselves, as_owner, as_role, current_user, has_rights_of, session_user,
};
