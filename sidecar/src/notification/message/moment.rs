//! Times, which Slack shows in the reader's time zone.

/// A time as payloads write it: `2013-12-03T17:15:43Z`, `2015-05-17 18:08:09 UTC`, `2021-04-28 21:50:00 +0200`, or seconds since
/// 1970. None if it is invalid.
pub(super) fn shown(written: &str) -> Option<String> {
    let seconds = seconds(written)?;
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    Some(format!(
        "<!date^{seconds}^{{date_short_pretty}} {{time}}|{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC>"
    ))
}

/// A time in seconds since 1970.
pub(super) fn seconds(written: &str) -> Option<i64> {
    parse(written.trim())
}

/// The last second of the year 9999.
const LAST: i64 = 253_402_300_799;

fn parse(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse() {
        return (0..=LAST).contains(&seconds).then_some(seconds);
    }
    let (year, text) = number(text, 4)?;
    let (month, text) = number(text.strip_prefix('-')?, 2)?;
    let (day, text) = number(text.strip_prefix('-')?, 2)?;
    let (hour, text) = number(text.strip_prefix(['T', ' '])?, 2)?;
    let (minute, text) = number(text.strip_prefix(':')?, 2)?;
    let (second, text) = number(text.strip_prefix(':')?, 2)?;
    let is_right = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let text = match text.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|letter: char| letter.is_ascii_digit()),
        None => text,
    };
    let ahead = match text.trim() {
        "" | "Z" | "UTC" => 0,
        zone => offset(zone)?,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - ahead;
    (is_right && (0..=LAST).contains(&seconds)).then_some(seconds)
}

/// This many digits, and the rest of the text.
fn number(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_number = number.bytes().all(|letter| letter.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_number)?;
    Some((number, rest))
}

/// How many seconds a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, rest) = number(&zone[1..], 2)?;
    let (minutes, rest) = number(rest.strip_prefix(':').unwrap_or(rest), 2)?;
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970 to a date. Years start in March here, so that a leap day is the last of one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// The date this many days after 1970.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{date, days, parse, shown};

    #[test]
    fn moments_are_read_as_payloads_write_them() {
        let cases = [
            ("2013-12-03T17:15:43Z", 1_386_090_943),
            ("2015-05-17 18:08:09 UTC", 1_431_886_089),
            ("2021-04-28 21:50:00 +0200", 1_619_639_400),
            ("2012-01-03T23:36:29+02:00", 1_325_626_589),
            ("2019-06-05T14:32:20.211Z", 1_559_745_140),
            ("1970-01-01 01:00:00 -0130", 9_000),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("1386090943", 1_386_090_943),
        ];
        for (written, seconds) in cases {
            assert_eq!(parse(written), Some(seconds), "{written}");
        }
        assert_eq!(
            shown("2013-12-03T17:15:43Z").as_deref(),
            Some("<!date^1386090943^{date_short_pretty} {time}|2013-12-03 17:15 UTC>")
        );
    }

    #[test]
    fn other_texts_are_no_moments() {
        let cases = [
            "",
            "soon",
            "2013-12-03",
            "2013-13-03T17:15:43Z",
            "2013-12-03T25:15:43Z",
            "1969-12-31T23:59:59Z",
            "-5",
            "2013-12-03T17:15:43>",
            "2013-12-03T17:15:43 CEST",
            "2013-12-03T17:15:43+2",
            "999999999999999999",
            "２013-12-03T17:15:43Z",
        ];
        for written in cases {
            assert_eq!(shown(written), None, "{written}");
        }
    }

    proptest! {
        #[test]
        fn dates_are_days(day in 0..2_932_896_i64) {
            let (year, month, of_month) = date(day);
            prop_assert_eq!(days(year, month, of_month), day);
        }

        #[test]
        fn anything_is_read(written: String) {
            let _ = shown(&written);
        }
    }
}
