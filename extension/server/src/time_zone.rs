//! Time zones. They are the system's, like those of most builds of PostgreSQL: its updates change them, and both extensions have
//! the same. What the system lacks is built in.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// The zone of that name, such as Europe/Berlin.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    let found = TimeZone::get(name);
    // Some systems have the old names, such as US/Pacific, in a package of their own.
    found
        .or_else(|_| TimeZoneDatabase::bundled().get(name))
        .ok()
}

/// When the clock of a zone shows that time first, or right after it has skipped it.
pub fn shown_at(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_zoned(wall);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { before, .. } => {
            // As the clock had run on, so that the jump lies before it, or at it.
            let behind = before.to_timestamp(wall).ok()?;
            let behind = behind.checked_add(SignedDuration::from_nanos(1)).ok()?;
            let jump = zone.preceding(behind).next()?;
            Some(jump.timestamp())
        }
        _ => Some(ambiguous.compatible().ok()?.timestamp()),
    }
}
