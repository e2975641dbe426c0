//! What people wrote, made harmless, and put together with links to phrases.

pub(super) mod link;
pub(super) mod list;
mod markdown;
pub(super) mod phrase;
pub(super) mod user_text;
