//! What the application's tables look like: found by OID in the catalogs, never by a bare name, and watched, so that what a
//! backend remembers of them is thrown away when they change.

mod alter;
mod column;
mod equality;
mod known;
mod named;
mod relation;
mod watch;

pub(crate) use alter::{check_is_owner, check_owner_may_read, lock_tables, run};
pub(crate) use column::{Column, IntegerWidth};
pub(crate) use known::Known;
pub(crate) use named::tables_named;
pub(crate) use relation::{InstalledTrigger, Reference, Relation, check_schema};
pub(crate) use watch::{catch_up, generation, init, lock_for_reading, lock_for_writing, watch};
