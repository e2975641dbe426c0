//! The part of the status that needs whole tables to be read ([`drift`]); the rest is lockstep.status_report, in SQL,
//! which asks for its schema ([`schema`]).

pub(crate) mod drift;
pub(crate) mod schema;
