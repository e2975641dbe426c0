//! What the database recorded for plots.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct History {
    pub(super) deliveries: Vec<FiveMinutes>,
    pub(super) drift: Vec<DriftDays>,
    pub(super) backfills: Vec<BackfillPoints>,
}

/// Messages of five minutes. Times are seconds since 1970.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FiveMinutes {
    pub(super) at: f64,
    pub(super) delivered: f64,
    pub(super) failed: f64,
    pub(super) p50_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
    pub(super) oldest_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DriftDays {
    pub(super) what: String,
    pub(super) days: Vec<DriftDay>,
}

/// The largest count of a day.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct DriftDay {
    pub(super) at: f64,
    pub(super) rows: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BackfillPoints {
    pub(super) run: i64,
    pub(super) points: Vec<BackfillPoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BackfillPoint {
    pub(super) at: f64,
    pub(super) scanned: f64,
}

impl BackfillPoints {
    /// Rows a second between one point and the next.
    pub(super) fn rates(&self) -> Vec<(f64, Option<f64>)> {
        let pairs = self.points.windows(2);
        let rate = |pair: &[BackfillPoint]| {
            let seconds = pair[1].at - pair[0].at;
            let rows = pair[1].scanned - pair[0].scanned;
            (
                pair[1].at,
                (seconds > 0.0).then_some((rows / seconds).max(0.0)),
            )
        };
        pairs.map(rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{BackfillPoint, BackfillPoints};

    #[test]
    fn rates_are_between_points() {
        let point = |at, scanned| BackfillPoint { at, scanned };
        let of = |points| BackfillPoints { run: 1, points };
        assert_eq!(of(vec![point(0.0, 5.0)]).rates(), []);
        // A range that is set aside takes its counts along.
        let points = vec![point(0.0, 0.0), point(60.0, 600.0), point(180.0, 0.0)];
        assert_eq!(of(points).rates(), [(60.0, Some(10.0)), (180.0, Some(0.0))]);
    }
}
