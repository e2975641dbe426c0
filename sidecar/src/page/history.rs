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

/// A pace is that of so many points, of which one is a minute or more: from one to the next it leaps.
const PACE: usize = 5;

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

    /// Seconds until this many rows are seen, at the pace of the minutes before each point. The number is an estimate: if there are
    /// more, how long they take is not known.
    pub(super) fn remaining(&self, rows: f64) -> Vec<(f64, Option<f64>)> {
        let stretches = self.points.windows(PACE);
        let left = |stretch: &[BackfillPoint]| {
            let (first, last) = (&stretch[0], &stretch[PACE - 1]);
            let seen = last.scanned - first.scanned;
            let left = rows - last.scanned;
            let seconds = left * (last.at - first.at) / seen;
            (last.at, (seen > 0.0 && left > 0.0).then_some(seconds))
        };
        stretches.map(left).collect()
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
        let points = (0..6).map(|at| point(f64::from(at) * 60.0, f64::from(at.min(4)) * 600.0));
        let left = of(points.collect()).remaining(4_800.0);
        assert_eq!(left, [(240.0, Some(240.0)), (300.0, Some(320.0))]);
        let points = (0..6).map(|at| point(f64::from(at) * 60.0, f64::from(at) * 600.0));
        let left = of(points.collect()).remaining(2_700.0);
        assert_eq!(left, [(240.0, Some(30.0)), (300.0, None)]);
        let stuck = of((0..5).map(|at| point(f64::from(at), 7.0)).collect());
        assert_eq!(stuck.remaining(10.0), [(4.0, None)]);
        assert_eq!(of(vec![point(0.0, 0.0)]).remaining(10.0), []);
        let points = vec![point(0.0, 0.0), point(60.0, 600.0), point(180.0, 0.0)];
        assert_eq!(of(points).rates(), [(60.0, Some(10.0)), (180.0, Some(0.0))]);
    }
}
