//! What the extensions ask of PostgreSQL besides running in it: statements, planned by index where they must be, with their arguments and
//! answers; with whose rights they run; errors that are raised ([`error`]) and caught; what is so in the session and the transaction now.
//!
//! On that stand the tables of the host as the catalogs describe them ([`host`]), rows as triggers are given them ([`row`]), what is noted at
//! each level of savepoints ([`levels`]), locks ([`mod@lock`]), waking those who wait for work ([`waking`]), whether that is of this
//! database at all ([`home`]), and the life of a background worker ([`worker`]).

#![deny(ffi_unwind_calls)]

mod answer;
mod argument;
mod attempt;
mod deadline;
mod dropping;
pub mod error;
pub mod home;
pub mod host;
pub mod levels;
pub mod lock;
mod moment;
mod own_statement;
mod planner;
mod rights;
pub mod row;
mod session;
mod statement;
mod transaction;
pub mod waking;
pub mod worker;

use std::ffi::CStr;

pub use answer::Answer;
pub use argument::{datum, jsonb_text, keys_argument, nullable};
pub use attempt::{Failure, attempt, attempt_catching};
pub use deadline::within;
pub use dropping::{drop_with_extension, drops_extension, keep_extension, may_drop};
pub use moment::Moment;
pub use own_statement::OwnStatement;
pub use rights::{
    are_ourselves, as_ourselves, as_owner, as_role, begin_session_of, current_user,
    for_whole_transaction, has_rights_of, has_rights_of_name, role_name, session_user,
};
pub use session::{
    is_in_transaction_block, is_serializable, is_set_to, is_statement_over, load, notify, random,
    random_bytes, sleep, trigger_depth, with_catalog_path, with_new_snapshot, with_settings,
};
pub use statement::{Statement, Target, View, commit, connected, is_atomic, with_snapshot};
pub use transaction::AtEnd;

/// What a backend keeps as long as it lives. It is never dropped: at the end of the process the memory that plans live in may
/// be gone already.
#[macro_export]
macro_rules! kept {
    ($($(#[$meta:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)*) => {
        thread_local! {
            $($(#[$meta])* $visibility static $name: std::mem::ManuallyDrop<$type> = std::mem::ManuallyDrop::new($value);)*
        }
    };
}

/// Called once, when the library of the extension of that name is loaded into a backend.
pub fn init(extension: &'static CStr, at_end: AtEnd) {
    session::forgo_backtraces();
    dropping::init(extension);
    host::init();
    planner::init();
    transaction::init(at_end);
}
