//! How everything stands that it takes reading whole tables to tell ([`drift`]); the rest is lockstep.status_report, in SQL.

pub(crate) mod drift;
