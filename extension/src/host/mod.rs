//! What the application's tables look like: found by OID in the catalogs, never by a bare name, and watched, so that what a
//! backend remembers of them is thrown away when they change.

mod alter;
mod ancestry;
mod column;
mod equality;
mod known;
mod named;
mod relation;
mod trigger;
mod watch;

pub(crate) use alter::{
    change, check_have_one_owner, check_is_owner, check_may, check_owner_may_read, lock_tables, run,
};
pub(crate) use ancestry::{at_or_below, path_of, way_to};
pub(crate) use column::{Column, IntegerWidth, integer, integer_array, text, time};
pub(crate) use known::Known;
pub(crate) use named::tables_named;
pub(crate) use relation::{Part, Reference, Relation, check_schema, reading_once};
pub(crate) use trigger::{HostTrigger, create_trigger, install_triggers, remove_triggers};
pub(crate) use watch::{catch_up, generation, init, lock_for_reading, lock_for_writing, watch};
