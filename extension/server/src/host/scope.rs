//! The arguments of `attach`: all features or some, for real or as a dry run.

use super::relation::Relation;
use crate::error::{HostError, Result};
use crate::lock;
use pgrx::pg_sys;

/// A dry run reads a table of at most so many rows: that takes a fraction of a second.
const FEW: i64 = 100_000;

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
        let features: Option<Vec<String>> =
            features.map(|it| it.into_iter().map(Option::unwrap_or_default).collect());
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

/// Whether a dry run reads these tables: they are small, and no lock is waited for. What is on other servers may be large.
pub fn are_read_at_once<const TABLES: usize>(tables: [&Relation; TABLES]) -> bool {
    tables.into_iter().all(|table| {
        !table.is_distributed()
            && lock::try_take_relation(table.oid, pg_sys::AccessShareLock)
            && table.rows_estimated() <= FEW
    })
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
