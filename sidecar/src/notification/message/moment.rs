//! Times, which Slack shows in the reader's time zone.

use jiff::Timestamp;

/// A time as payloads write it: `2013-12-03T17:15:43Z`, `2015-05-17 18:08:09 UTC`, `2021-04-28 21:50:00 +0200`, or seconds since
/// 1970. None if it is invalid.
pub(super) fn shown(written: &str) -> Option<String> {
    let moment = read(written)?;
    Some(format!(
        "<!date^{}^{{date_short_pretty}} {{time}}|{}>",
        moment.as_second(),
        moment.strftime("%Y-%m-%d %H:%M UTC")
    ))
}

/// A time in seconds since 1970.
pub(super) fn seconds(written: &str) -> Option<i64> {
    read(written).map(Timestamp::as_second)
}

fn read(written: &str) -> Option<Timestamp> {
    let text = written.trim();
    let moment = match text.parse() {
        Ok(seconds) => Timestamp::from_second(seconds).ok()?,
        Err(_) => {
            let text = [(" UTC", "Z"), (" +", "+"), (" -", "-")]
                .iter()
                .fold(text.to_owned(), |text, (zone, short)| {
                    text.replace(zone, short)
                });
            // Without a zone it is UTC.
            let moment = text.parse();
            moment.or_else(|_| format!("{text}Z").parse()).ok()?
        }
    };
    (moment >= Timestamp::UNIX_EPOCH).then_some(moment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::shown;

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
            assert_eq!(super::seconds(written), Some(seconds), "{written}");
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
        fn anything_is_read(written: String) {
            let _ = shown(&written);
        }
    }
}
