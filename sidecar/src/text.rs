//! Numbers and times for people, and output to the terminal.

use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;
use std::time::Duration;

/// Why something was not written to stdout.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Writes to stdout; the run continues in any case. The reader may be gone, like `head`, which is no failure.
pub(crate) fn say(text: &str) {
    let mut out = stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        // The first one is the cause.
        let _ = UNWRITTEN.set(error.to_string());
    }
}

/// Why the output is not complete, if it is not.
pub(crate) fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}

/// Writes a line to stderr, in the same way.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// A number with a comma before every third digit from the right.
pub(crate) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in at most five characters, where there is no room for more.
pub(crate) fn short(value: i64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let size = value as f64;
    match units.into_iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) if size < 100.0 * unit => format!("{:.1}{name}", size / unit),
        Some((unit, name)) => format!("{:.0}{name}", size / unit),
        None => value.to_string(),
    }
}

/// The word for this many.
pub(crate) fn plural<'a>(of: i64, one: &'a str, several: &'a str) -> &'a str {
    match of {
        1 => one,
        _ => several,
    }
}

pub(crate) fn duration(value: Duration) -> String {
    match value.as_secs() {
        0..10 => format!("{:.1} s", value.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// As the beginning of a sentence.
pub(crate) fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, number, short};
    use std::time::Duration;

    #[test]
    fn numbers() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_000), "1,000");
        assert_eq!(number(-1_234_567), "-1,234,567");
        assert_eq!(short(999), "999");
        assert_eq!(short(95_535), "95.5k");
        assert_eq!(short(300_000), "300k");
        assert_eq!(short(2_500_000_000), "2.5G");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(Duration::from_millis(1_260)), "1.3 s");
        assert_eq!(duration(Duration::from_secs(59)), "59 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
        assert_eq!(duration(Duration::from_secs(7_500)), "2 h 5 min");
    }
}
