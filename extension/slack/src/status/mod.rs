//! How everything stands: what an answer of the moment tells ([`report`]), and what it takes reading whole tables to tell
//! ([`drift`]).

pub(crate) mod drift;
pub(crate) mod report;
