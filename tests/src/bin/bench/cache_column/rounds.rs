//! Samples of several variants, taken in turn, and their comparison.

use anyhow::Result;

use super::trial::Sample;
use super::variant::Variant;
use crate::median::median;

/// Samples by round and variant.
#[derive(Clone, Debug)]
pub(super) struct Rounds(Vec<Vec<(Variant, Sample)>>);

impl Rounds {
    /// Takes samples of all variants in each round, starting with another variant each time.
    pub(super) fn take(
        count: usize,
        variants: &[Variant],
        mut measure: impl FnMut(Variant, usize) -> Result<Sample>,
    ) -> Result<Self> {
        let mut rounds = Vec::with_capacity(count);
        for round in 0..count {
            let mut samples = Vec::with_capacity(variants.len());
            for index in 0..variants.len() {
                let variant = variants[(index + round) % variants.len()];
                samples.push((variant, measure(variant, round)?));
            }
            rounds.push(samples);
        }
        Ok(Self(rounds))
    }

    /// Reports if other processes were busy in the meantime. That affects elapsed time more than CPU time, but caches and memory
    /// are shared too.
    pub(super) fn report_disturbance(&self, what: &str) {
        let samples: Vec<&Sample> = self.0.iter().flatten().map(|(_, sample)| sample).collect();
        let disturbed = samples
            .iter()
            .filter(|sample| sample.elapsed > 1.1 * sample.milliseconds)
            .count();
        if disturbed > 0 {
            let all = samples.len();
            eprintln!(
                "bench: {what}: {disturbed} of {all} samples were disturbed by other processes"
            );
        }
    }

    /// The median of one value of a variant's samples, if it was measured.
    pub(super) fn median(&self, variant: Variant, value: impl Fn(&Sample) -> f64) -> Option<f64> {
        let samples: Vec<f64> = self
            .0
            .iter()
            .filter_map(|round| find(round, variant))
            .map(|sample| value(&sample))
            .collect();
        (!samples.is_empty()).then(|| median(samples))
    }

    /// The median over the rounds of `numerator / denominator`, each from the samples of one round.
    ///
    /// Not the ratio of the medians: disturbances on a shared machine often last longer than a round, so they affect all samples
    /// of a round alike, while the medians of two variants may come from different rounds. Measured with five of fifteen rounds,
    /// deactivation against row triggers, on a busy machine: the middle nine tenths range from 0.47 to 0.84 this way, and from
    /// 0.28 to 0.91 as a ratio of medians.
    pub(super) fn ratio(
        &self,
        numerator: impl Fn(&Round) -> Option<f64>,
        denominator: impl Fn(&Round) -> Option<f64>,
    ) -> Option<f64> {
        let ratios: Vec<f64> = self
            .0
            .iter()
            .map(|samples| Round(samples))
            .filter_map(|round| Some(numerator(&round)? / denominator(&round)?))
            .collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    /// The median over the rounds of one value.
    pub(super) fn value(&self, value: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        self.ratio(value, |_| Some(1.0))
    }
}

/// The samples of one round.
pub(super) struct Round<'a>(&'a [(Variant, Sample)]);

impl Round<'_> {
    pub(super) fn milliseconds(&self, variant: Variant) -> Option<f64> {
        Some(find(self.0, variant)?.milliseconds)
    }

    /// What a variant adds to the time without triggers. For the bare UPDATE, all of its time is overhead.
    pub(super) fn overhead(&self, variant: Variant) -> Option<f64> {
        let time = self.milliseconds(variant)?;
        match variant {
            Variant::BareUpdate => Some(time),
            _ => Some(time - self.milliseconds(Variant::None)?),
        }
    }

    /// What a variant adds to the WAL without triggers.
    pub(super) fn wal_overhead(&self, variant: Variant) -> Option<f64> {
        let none = find(self.0, Variant::None)?;
        Some(find(self.0, variant)?.wal_bytes - none.wal_bytes)
    }
}

fn find(samples: &[(Variant, Sample)], variant: Variant) -> Option<Sample> {
    samples
        .iter()
        .find(|(of, _)| *of == variant)
        .map(|(_, sample)| *sample)
}
