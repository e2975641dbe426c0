//! Hours in which a person is not disturbed.

use chrono::{DateTime, Days, LocalResult, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;

/// A zone may skip a whole day, in minutes, to be on the other side of the date line.
const MOST_SKIPPED: i64 = 24 * 60;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct QuietHours {
    #[serde(serialize_with = "written")]
    from: NaiveTime,
    #[serde(serialize_with = "written")]
    until: NaiveTime,
    time_zone: String,
}

fn written<S: serde::Serializer>(time: &NaiveTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&time.format("%H:%M"))
}

impl QuietHours {
    /// Times as HH:MM, and the name of a time zone.
    pub(super) fn parse(from: &str, until: &str, time_zone: &str) -> Option<Self> {
        let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").ok();
        time_zone.parse::<Tz>().ok()?;
        Some(Self {
            from: time(from)?,
            until: time(until)?,
            time_zone: time_zone.to_owned(),
        })
    }

    /// As stored.
    pub(super) fn parts(&self) -> [String; 3] {
        let time = |time: NaiveTime| time.format("%H:%M").to_string();
        [time(self.from), time(self.until), self.time_zone.clone()]
    }

    /// When they end, in microseconds from now; None outside of them. A time zone that is unknown by now has none.
    pub(super) fn left(&self, now: DateTime<Utc>) -> Option<i64> {
        let zone: Tz = self.time_zone.parse().ok()?;
        let local = now.with_timezone(&zone).naive_local();
        let is_quiet = match self.from < self.until {
            true => (self.from..self.until).contains(&local.time()),
            // They last until the next day.
            false => local.time() >= self.from || local.time() < self.until,
        };
        if !is_quiet {
            return None;
        }
        let mut day = local.date();
        if local.time() >= self.until {
            day = day.checked_add_days(Days::new(1))?;
        }
        let end = match zone.from_local_datetime(&day.and_time(self.until)) {
            LocalResult::Single(end) | LocalResult::Ambiguous(end, _) => end.with_timezone(&Utc),
            // The clock is put forward over it: they end then, at the first minute that there is.
            LocalResult::None => (1..=MOST_SKIPPED)
                .find_map(|minutes| {
                    let later = day.and_time(self.until) + TimeDelta::minutes(minutes);
                    zone.from_local_datetime(&later).earliest()
                })?
                .with_timezone(&Utc),
        };
        (end - now).num_microseconds().filter(|left| *left > 0)
    }
}
