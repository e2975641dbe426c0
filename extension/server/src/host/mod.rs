//! The application's tables: found by OID in the catalogs, never by bare name, and watched, so that a backend's cache is
//! discarded when they change.

mod alter;
mod ancestry;
mod column;
mod deferred;
mod described;
mod equality;
mod known;
mod named;
mod relation;
mod scope;
mod text;
mod trigger;
mod typed;
mod watch;

pub use alter::{
    change, check_have_one_owner, check_is_owner, check_may, check_owner_may_read, lock_tables, run,
};
pub use ancestry::{at_or_below, path_of, way_to};
pub use column::{Column, IntegerWidth};
pub use deferred::Writes;
pub use described::reading_once;
pub use known::Known;
pub use named::tables_named;
pub use relation::{InstalledTrigger, Part, Reference, Relation, check_schema};
pub use scope::{Scope, are_read_at_once, locks};
pub use text::{NOW, differ, qualified};
pub use trigger::{HostTrigger, create_trigger, install_triggers, remove_triggers};
pub use typed::{integer, integer_array, text, time};
pub use watch::{catch_up, generation, init, lock_for_reading, lock_for_writing, watch};

/// One row of the result of `attach` and `detach`: feature, outcome and reason.
pub type Answer = (String, String, String);
