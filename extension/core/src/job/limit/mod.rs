//! How many jobs of a worker run at once and start within a period, over all runners; for the whole worker, and for each
//! concurrency key of its jobs: how that is set ([`set`]), what a claim does about it ([`claimed`]), and how it hears of places
//! that are free again ([`freed`]).
//!
//! A claim locks the limits of its workers: what another claim has locked is left to that one, so nobody waits and nothing is
//! counted twice. A job whose key has no room is blocked, so that later claims do not pass over it again. It waits again once a use
//! of its key has ended: claims find that in a table, because a job that ends must not wait for a claim.

mod claimed;
mod freed;
mod set;

pub(in crate::job) use claimed::{Limits, MOST_CHANGED};
pub(in crate::job) use freed::Freed;
pub(crate) use freed::forget_uses_of_unlimited;
