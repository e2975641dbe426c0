//! A measured value and its goal.

use std::fmt;

/// The goal of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reach {
    AtMost(f64),
    AtLeast(f64),
}

/// A line of the result: name, value, unit, goal, and whether it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    reach: Option<Reach>,
}

impl Figure {
    /// A figure with a goal.
    pub(crate) fn with_reach(name: String, value: f64, unit: &'static str, reach: Reach) -> Self {
        Self {
            name,
            value,
            unit,
            reach: Some(reach),
        }
    }

    /// A figure without a goal.
    pub(crate) fn plain(name: String, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            reach: None,
        }
    }

    /// Compares the printed value, so that no line contradicts itself. NaN never reaches a goal.
    pub(crate) fn is_short(&self) -> bool {
        let printed = (self.value * 1000.0).round() / 1000.0;
        let reached = match self.reach {
            None => true,
            Some(Reach::AtMost(most)) => printed <= most,
            Some(Reach::AtLeast(least)) => printed >= least,
        };
        !reached
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reach = match self.reach {
            None => "-".to_owned(),
            Some(Reach::AtMost(most)) => format!("<= {most:.2}"),
            Some(Reach::AtLeast(least)) => format!(">= {least:.2}"),
        };
        let verdict = match self.reach {
            None => "-",
            Some(_) if self.is_short() => "short",
            Some(_) => "ok",
        };
        let Self {
            name, value, unit, ..
        } = self;
        write!(formatter, "{name}\t{value:.3}\t{unit}\t{reach}\t{verdict}")
    }
}
