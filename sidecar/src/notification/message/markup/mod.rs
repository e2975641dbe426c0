//! User text made harmless, and combined with links into phrases.

pub(super) mod link;
pub(super) mod list;
mod markdown;
pub(super) mod phrase;
pub(super) mod user_text;
