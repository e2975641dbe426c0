//! Which parts and figures were selected.

/// The beginnings of the selected names; none means everything.
#[derive(Clone, Debug)]
pub(crate) struct Selection(Vec<String>);

impl Selection {
    pub(crate) fn of_arguments() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    pub(crate) fn wanted(&self) -> &[String] {
        &self.0
    }

    /// Whether anything under that name, a path with slashes, is selected, completely or in part.
    pub(crate) fn includes(&self, name: &str) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|wanted| is_within(name, wanted) || is_within(wanted, name))
    }

    /// Whether everything under that name is selected.
    pub(crate) fn is_whole(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| is_within(name, wanted))
    }
}

fn is_within(name: &str, outer: &str) -> bool {
    name.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
