//! Service accounts: which account a workflow of GitLab's agent platform runs as.
//!
//! The rules, in the order in which they are asked ([`resolver`]):
//!
//! 1. the *item* is that of the workflow's version; without a version, or if there is no such version, the one that the workflow
//!    names itself (`ai_catalog_item_id`, which hosts of old do not have); else the item whose `foundational_flow_reference` is the
//!    workflow's definition;
//! 2. the *root group* is the first of the `traversal_ids` of the project's namespace, or of the workflow's own;
//! 3. the account is that of a consumer of the item in the root group.
//!
//! Where several match, the lowest id wins, so that the answer is always the same. New rows are filled as they come
//! ([`arrival`]), old ones a key range at a time ([`fill`](mod@fill)); what cannot be resolved is counted, never written.

mod arrival;
mod attach;
mod explain;
mod fill;
mod resolve;
mod resolver;
mod tables;

pub(crate) use attach::{attach, detach, feature};
pub(crate) use fill::fill;
pub(crate) use tables::tables_to_fill;
