//! GitLab releases, by the names of their branches and tags.

use crate::error::{ChatopsError, Result};
use std::fmt::{Display, Formatter, Result as Written};

/// A minor version of GitLab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Milestone {
    major: u32,
    minor: u32,
}

impl Display for Milestone {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Written {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl Milestone {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let numbers = text
            .split_once('.')
            .and_then(|(major, minor)| Self::of(major, minor));
        numbers.ok_or_else(|| {
            ChatopsError::Milestone {
                milestone: text.chars().take(100).collect(),
            }
            .into()
        })
    }

    fn of(major: &str, minor: &str) -> Option<Self> {
        // `parse` alone would accept a sign.
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().ok(),
            false => None,
        };
        Some(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }

    /// The release of a branch or tag: `15-1-stable-ee` and `v15.1.0-ee` belong to 15.1.
    pub(super) fn of_ref(name: &str) -> Option<Self> {
        if let Some(tag) = name.strip_prefix('v') {
            let mut parts = tag.splitn(3, '.');
            let release = Self::of(parts.next()?, parts.next()?)?;
            return parts.next().map(|_| release);
        }
        let mut parts = name.splitn(3, '-');
        let release = Self::of(parts.next()?, parts.next()?)?;
        let rest = parts.next()?;
        (rest == "stable" || rest.starts_with("stable-")).then_some(release)
    }
}
