//! What the extension asks of the server besides running in it: statements ([`statement`]), their arguments ([`argument`]) and answers ([`answer`]), with whose
//! rights they run ([`rights`]), errors that are caught ([`attempt`](mod@attempt)), and what is so in the session and the transaction now
//! ([`session`], [`moment`]).

mod answer;
mod argument;
mod attempt;
mod dropping;
mod moment;
mod rights;
mod session;
mod statement;

pub(crate) use answer::Answer;
pub(crate) use argument::{datum, jsonb_text, keys_argument, nullable};
pub(crate) use attempt::{Failure, attempt, attempt_catching};
pub(crate) use dropping::{drop_with_extension, drops_extension};
pub(crate) use moment::Moment;
pub(crate) use rights::{
    as_ourselves, as_owner, as_role, begin_session_of, current_user, for_whole_transaction,
    has_rights_of, has_rights_of_name, is_superuser, session_user,
};
pub(crate) use session::{
    forgo_backtraces, is_in_transaction_block, is_serializable, is_set_to, notify, random,
    random_bytes, sleep, trigger_depth, with_catalog_path, with_new_snapshot, with_settings,
};
pub(crate) use statement::{Statement, Target, View, commit, connected, is_atomic, with_snapshot};
