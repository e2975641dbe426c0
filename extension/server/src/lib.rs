//! What both extensions need from PostgreSQL: prepared statements, planned by index where necessary, with arguments and results;
//! whose rights they run with; errors ([`error`]), raised and caught; the state of the session and the transaction.
//!
//! On top of that: the application's tables ([`host`]), rows as triggers receive them ([`row`]), notes per savepoint
//! ([`levels`]), locks ([`mod@lock`]), waking idle workers ([`waking`]), which database owns the work ([`home`]), background
//! workers ([`worker`]), also those that start with the server ([`preload`]), what Citus does with a table or this server (`citus`), and
//! where it keeps the rows (`shard`).

#![deny(ffi_unwind_calls)]

mod catalog;
mod citus;
mod deadline;
mod dropping;
pub mod error;
pub mod home;
pub mod host;
pub mod levels;
pub mod lock;
mod moment;
mod own_table;
mod planner;
pub mod preload;
mod rights;
pub mod row;
mod session;
mod shard;
mod statement;
mod stored;
mod subtransaction;
mod time_zone;
mod transaction;
pub mod waking;
pub mod worker;

use std::ffi::CStr;

/// Where `pg_guard` looks for its guard if it is on an extern block.
#[cfg(feature = "pg13")]
use pgrx::pg_sys::ffi;

pub use catalog::Entry;
pub use citus::{is_on_worker, manages};
pub use deadline::within;
pub use dropping::{drop_with_extension, drops_extension, keep_extension, may_drop};
pub use moment::Moment;
pub use own_table::OwnTable;
pub use rights::{
    Rights, are_ourselves, as_ourselves, as_owner, as_role, begin_session_of, current_user,
    for_whole_transaction, has_rights_of, has_rights_of_name, may_clear, role_name, session_user,
};
pub use session::{
    current_transaction, has_committed, is_in_transaction_block, is_read_committed,
    is_serializable, is_set_to, is_statement_over, load, lock_timeout, notify, pages_read, random,
    random_bytes, sleep, trigger_depth, with_catalog_path, with_new_snapshot, with_settings,
};
pub use shard::{distributes_schema, on_server_of, shard_of, shards_together, table_of};
pub use statement::{
    Answer, Jsonb, OwnStatement, Statement, Target, View, commit, connected, datum, is_atomic,
    jsonb_text, jsonb_typeof, keys_argument, nullable, with_snapshot,
};
pub use subtransaction::{Failure, attempt, attempt_catching};
pub use time_zone::{shown_at, time_zone};
pub use transaction::AtEnd;

/// A value that a backend keeps for its whole life. It is never dropped: when the process ends, the memory of its plans may
/// already be gone.
#[macro_export]
macro_rules! kept {
    ($($(#[$meta:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr;)*) => {
        thread_local! {
            $($(#[$meta])* $visibility static $name: std::mem::ManuallyDrop<$type> = std::mem::ManuallyDrop::new($value);)*
        }
    };
}

/// Called once, when a backend loads the library of the named extension.
pub fn init(extension: &'static CStr, at_end: AtEnd) {
    session::forgo_backtraces();
    dropping::init(extension);
    host::init();
    planner::init();
    transaction::init(at_end);
}
