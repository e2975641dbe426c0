//! What is wrong with the input.

/// An error shown next to its field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) block: String,
    pub(super) text: String,
}

impl Mistake {
    pub(super) fn new(block: &str, text: impl Into<String>) -> Self {
        Self {
            block: block.to_owned(),
            text: text.into(),
        }
    }
}
