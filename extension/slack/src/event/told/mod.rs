//! Who is told of an event: where it happened ([`scope`]), the integrations that might be told ([`candidate`]), and whether they are, by the
//! feature flag ([`flag`]) and their settings ([`filter`]), for which protected branches and accounts of Slack may count ([`protection`]).

mod candidate;
pub(crate) mod filter;
mod flag;
mod protection;
mod scope;

pub(crate) use candidate::{Candidate, Candidates};
pub(crate) use filter::{Reason, Surroundings, Told};
pub(crate) use flag::Notifications;
pub(crate) use protection::{ChatNames, ProtectedBranches};
pub(crate) use scope::{Scope, Scopes};
