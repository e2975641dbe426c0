//! What people work on together, issues and merge requests above all, and what they say about it.

mod changed;
pub(super) mod emoji;
pub(super) mod issue;
pub(super) mod mention;
pub(super) mod merge_request;
pub(super) mod milestone;
pub(super) mod note;
mod noteable;
pub(super) mod reviews;
