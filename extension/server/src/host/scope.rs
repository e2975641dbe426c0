//! The arguments of `attach`: all features or some, for real or as a dry run.

use super::relation::Relation;
use crate::error::{HostError, Result};

pub struct Scope {
    features: Option<Vec<String>>,
    pub is_dry_run: bool,
}

impl Scope {
    /// All features, or a selection of the known ones.
    pub fn new(
        features: Option<Vec<Option<String>>>,
        is_dry_run: bool,
        known: &[String],
    ) -> Result<Self> {
        let features: Option<Vec<String>> = features.map(|it| it.into_iter().flatten().collect());
        let unknown = features
            .iter()
            .flatten()
            .find(|feature| !known.contains(feature));
        match unknown {
            None => Ok(Self {
                features,
                is_dry_run,
            }),
            Some(feature) => Err(HostError::NoSuchFeature {
                feature: feature.clone(),
                known: known.join(", "),
            }
            .into()),
        }
    }

    pub fn has(&self, feature: &str) -> bool {
        self.features
            .as_ref()
            .is_none_or(|features| features.iter().any(|it| it == feature))
    }

    pub fn has_all(&self) -> bool {
        self.features.is_none()
    }
}

/// What a dry run reports about the locks that the real run would take.
pub fn locks<'a>(tables: impl IntoIterator<Item = &'a Relation>) -> String {
    let mut names: Vec<String> = tables.into_iter().map(Relation::qualified_name).collect();
    names.sort_unstable();
    names.dedup();
    format!(
        "locks {} in share row exclusive mode until the transaction ends (0.1 s alone): writers wait, readers do not",
        names.join(", ")
    )
}
