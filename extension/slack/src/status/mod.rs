//! The part of the status that needs whole tables to be read ([`drift`]); the rest is lockstep.status_report, in SQL.

pub(crate) mod drift;
