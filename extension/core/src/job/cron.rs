//! When a cron expression is due next, in a time zone.

use crate::error::{JobError, OrRaise, Result, required};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lockstep_server::{shown_at, time_zone};
use pgrx::prelude::*;

/// As long as any sensible one.
const MOST_CHARACTERS: usize = 255;

/// PostgreSQL counts from the year 2000.
const MICROS_FROM_1970: i64 = 946_684_800_000_000;

const MOST_TIMES: i32 = 1_000;

/// A cron expression in a time zone.
pub(super) struct Times {
    cron: Cron,
    zone: TimeZone,
    text: String,
    /// Hours and minutes are named: the others follow the clock.
    are_fixed: bool,
}

impl Times {
    /// Five fields, or a name such as @daily. As in Vixie cron, an expression with a day of the month and a day of the week is due
    /// on either.
    pub(super) fn parse(cron: &str, zone: &str) -> Result<Self> {
        let refused = |reason: String| JobError::Cron {
            cron: cron.chars().take(50).collect(),
            reason,
        };
        if cron.chars().count() > MOST_CHARACTERS {
            return Err(refused(format!("It has more than {MOST_CHARACTERS} characters.")).into());
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let parsed = parser
            .parse(cron)
            .map_err(|error| refused(format!("{}.", error.to_string().trim_end_matches('.'))))?;
        let zone = time_zone(zone).ok_or_else(|| JobError::TimeZone {
            time_zone: zone.chars().take(50).collect(),
        })?;
        let mut fields = cron.split_whitespace().take(2);
        Ok(Self {
            are_fixed: fields.all(|field| !field.contains(['*', '@'])),
            cron: parsed,
            zone,
            text: cron.to_owned(),
        })
    }

    /// The first time after this one.
    pub(super) fn after(&self, time: TimestampWithTimeZone) -> Result<TimestampWithTimeZone> {
        let micros = i64::from(time).saturating_add(MICROS_FROM_1970);
        let never = || JobError::Never {
            cron: self.text.clone(),
        };
        let time = Timestamp::from_microsecond(micros).map_err(|_| never())?;
        let next = match self.are_fixed {
            true => self.next_on_the_wall(time),
            false => {
                let zoned = time.to_zoned(self.zone.clone());
                let next = self.cron.find_next_occurrence(&zoned, false);
                next.ok().map(|next| next.timestamp())
            }
        };
        let micros = next.ok_or_else(never)?.as_microsecond() - MICROS_FROM_1970;
        Ok(TimestampWithTimeZone::try_from(micros).map_err(|_| never())?)
    }

    /// Looked for as if the clock on the wall never jumped: croner would lose a time that it skips, and count one twice that it shows
    /// twice.
    fn next_on_the_wall(&self, time: Timestamp) -> Option<Timestamp> {
        let mut wall = time.to_zoned(self.zone.clone()).datetime();
        loop {
            let from = wall.to_zoned(TimeZone::UTC).ok()?;
            wall = self
                .cron
                .find_next_occurrence(&from, false)
                .ok()?
                .datetime();
            let moment = shown_at(&self.zone, wall)?;
            if moment > time {
                return Some(moment);
            }
        }
    }
}

/// The next times of a cron expression.
#[pg_extern(sql = r#"
create function lockstep.cron_times(cron text, time_zone text default 'UTC', "after" timestamptz default now(), most integer default 5)
returns setof timestamptz language c stable rows 5 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.cron_times(text, text, timestamptz, integer) is
  'the next times of a cron expression in a time zone, as lockstep.schedule_job would enqueue its job';
revoke execute on function lockstep.cron_times(text, text, timestamptz, integer) from public;
grant execute on function lockstep.cron_times(text, text, timestamptz, integer) to lockstep_admin, lockstep_app;
"#)]
fn cron_times(
    cron: Option<&str>,
    time_zone: Option<&str>,
    after: Option<TimestampWithTimeZone>,
    most: Option<i32>,
) -> SetOfIterator<'static, TimestampWithTimeZone> {
    let cron = required(cron, "cron");
    let time_zone = required(time_zone, "time_zone");
    let after = required(after, "after");
    let most = required(most, "most");
    SetOfIterator::new(times(cron, time_zone, after, most).or_raise())
}

fn times(
    cron: &str,
    time_zone: &str,
    after: TimestampWithTimeZone,
    most: i32,
) -> Result<Vec<TimestampWithTimeZone>> {
    if !(1..=MOST_TIMES).contains(&most) {
        return Err(JobError::MostTimes { most }.into());
    }
    let expression = Times::parse(cron, time_zone)?;
    let mut times = Vec::new();
    let mut time = after;
    for _ in 0..most {
        pgrx::check_for_interrupts!();
        time = expression.after(time)?;
        times.push(time);
    }
    Ok(times)
}
