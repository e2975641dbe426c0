//! Who is notified of an event: where it happened ([`scope`]), which integrations might be notified ([`candidate`]), and whether
//! they are, by the feature flag ([`flag`]) and their settings ([`filter`], [`mod@route`]), which may depend on protected branches and linked
//! Slack accounts ([`protection`]); and which people are mentioned or get a direct message ([`mod@person`]), and still do when it has its turn ([`access`]). [`deployment`] adds what the application knows of one.

mod access;
mod candidate;
mod deployment;
pub(crate) mod filter;
mod flag;
mod person;
mod protection;
mod reason;
mod route;
mod scope;

pub(crate) use access::{DirectMessage, may_be_sent};
pub(crate) use candidate::{By, Candidate, Candidates, installations};
pub(crate) use deployment::{is_of_tag, previous_sha};
pub(crate) use filter::{Surroundings, Told};
pub(crate) use flag::Notifications;
pub(crate) use person::{Circle, Person, user_group};
pub(crate) use protection::{ChatNames, ProtectedBranches};
pub(crate) use reason::Reason;
pub(crate) use route::{Verdict, verdicts};
pub(crate) use scope::{Scope, Scopes};
