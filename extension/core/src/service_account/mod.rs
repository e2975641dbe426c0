//! Service accounts: which account a workflow of GitLab's agent platform runs as.
//!
//! The rules, in order ([`resolver`]):
//!
//! 1. the *item* is the one of the workflow's version; without an existing version, the one the workflow itself names
//!    (`ai_catalog_item_id`, a column that older GitLab lacks); otherwise the item whose `foundational_flow_reference` equals the
//!    workflow's definition;
//! 2. the *root group* is the first of the `traversal_ids` of the project's namespace, or of the workflow's own namespace;
//! 3. the account is the one of the item's consumer in the root group.
//!
//! Where several match, the lowest id wins, so that the answer is deterministic. New rows are filled when they are inserted
//! ([`arrival`]), existing ones by key range ([`fill`](mod@fill)); rows that cannot be resolved are counted, never written.

mod arrival;
mod attach;
mod explain;
mod fill;
mod resolve;
mod resolver;
mod tables;

pub(crate) use attach::{attach, detach, feature};
pub(crate) use fill::{fill, preview};
pub(crate) use tables::tables_to_fill;
