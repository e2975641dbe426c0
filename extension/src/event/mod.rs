//! Events of projects and groups, and who is told of them in Slack.
//!
//! The way of the data: an event comes as the host's webhooks have it ([`lockstep_webhook`]); what it is ([`kind`]) and what decides over
//! it ([`occurrence`]) is taken from that; where it happened is looked up ([`scope`]), with the integrations that might be told
//! ([`candidate`]) and their settings ([`settings`]). Flag and filters ([`flag`], [`filter`]) leave what is written, in one transaction: the
//! event, its deliveries ([`write`](mod@write), [`channel`]) and how pipelines of a branch ended ([`pipeline`]). All of it goes set-wise
//! over a batch ([`publish`]). Settings are changed in [`configure`] and, as a user of Slack asks, in [`workspace`]; [`trial`] sends a
//! message to see whether it arrives. Of an event is kept what messages show, and of integrations what is of use ([`gone`]).

mod batch;
mod candidate;
mod change;
mod channel;
mod configure;
mod filter;
mod flag;
mod gone;
mod kind;
mod occurrence;
mod pipeline;
mod properties;
mod protection;
pub(crate) mod publish;
mod scope;
mod settings;
mod tables;
pub(crate) mod trial;
pub(crate) mod workspace;
mod write;

pub(crate) use configure::channels_now;
pub(crate) use gone::sweep_gone;
