//! What the application's tables look like: found by OID in the catalogs, never by a bare name, and watched, so that what a
//! backend remembers of them is thrown away when they change.

mod equality;
mod relation;
mod watch;

pub(crate) use relation::{
    Column, InstalledTrigger, IntegerWidth, Reference, Relation, check_schema,
};
pub(crate) use watch::{catch_up, generation, init, watch};
