//! Hours in which a person is not disturbed.

use jiff::Timestamp;
use jiff::civil::Time;
use lockstep_server::{shown_at, time_zone};
use serde::Serialize;

/// How times are written.
const FORMAT: &str = "%H:%M";

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct QuietHours {
    #[serde(serialize_with = "written")]
    from: Time,
    #[serde(serialize_with = "written")]
    until: Time,
    time_zone: String,
}

fn written<S: serde::Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&time.strftime(FORMAT))
}

impl QuietHours {
    /// Times as HH:MM, and the name of a time zone.
    pub(super) fn parse(from: &str, until: &str, zone: &str) -> Option<Self> {
        let time = |text: &str| Time::strptime(FORMAT, text).ok();
        time_zone(zone)?;
        Some(Self {
            from: time(from)?,
            until: time(until)?,
            time_zone: zone.to_owned(),
        })
    }

    /// As stored.
    pub(super) fn parts(&self) -> [String; 3] {
        let time = |time: Time| time.strftime(FORMAT).to_string();
        [time(self.from), time(self.until), self.time_zone.clone()]
    }

    /// When they end, in microseconds from now; None outside of them. A time zone that is unknown by now has none.
    pub(super) fn left(&self, now: Timestamp) -> Option<i64> {
        let zone = time_zone(&self.time_zone)?;
        let local = zone.to_datetime(now);
        let time = local.time();
        let is_quiet = match self.from < self.until {
            true => (self.from..self.until).contains(&time),
            // They last until the next day.
            false => time >= self.from || time < self.until,
        };
        if !is_quiet {
            return None;
        }
        let day = match time < self.until {
            true => local.date(),
            false => local.date().tomorrow().ok()?,
        };
        // If the clock is put forward over it, they end then.
        let end = shown_at(&zone, day.to_datetime(self.until))?;
        Some(end.as_microsecond() - now.as_microsecond()).filter(|left| *left > 0)
    }
}
