//! Claims jobs, runs and completes them. One loop decides ([`work`]); waiting for the database is done in tasks that report to the
//! loop ([`ask`]), so that claiming, running and completing happen at the same time. A call that fails says whether the session
//! is lost ([`fault`]).

mod ask;
mod fault;
mod state;
mod work;

pub(crate) use state::{Runner, Settings};
