//! Slack's limits without a call, to check what an app builds: each function returns the problems, or an empty list.

use serde_json::Value;

use super::block::{Surface, check_blocks, check_options};
use super::view::check_view;

/// Of a view for App Home.
pub fn wrong_in_home(view: &Value) -> Vec<String> {
    check_view(view, Surface::Home)
}

/// Of a view for a modal.
pub fn wrong_in_modal(view: &Value) -> Vec<String> {
    check_view(view, Surface::Modal)
}

/// Of the blocks of a message.
pub fn wrong_in_message(blocks: &Value) -> Vec<String> {
    check_blocks(blocks, Surface::Message)
}

/// Of the answer to a block_suggestion: options or groups of them.
pub fn wrong_in_options(answer: &Value) -> Vec<String> {
    check_options(answer)
}
