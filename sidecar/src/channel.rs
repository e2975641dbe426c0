//! Channels that messages do not reach: what `status` and the App Home say of them.

use std::fmt::Write;

use crate::database::Trouble;
use crate::slack::{advice, code, shorten};

/// An integration has up to ten channels per event.
const MOST_TROUBLES: usize = 10;

/// A line for each channel that could not be reached lately.
pub(crate) fn troubled(troubles: &[Trouble]) -> String {
    let lines = troubles.iter().take(MOST_TROUBLES).map(|trouble| {
        format!(
            "\n:x: {}: {}; {} not sent",
            code(&shorten(&trouble.channel, 80)),
            advice(&trouble.error, trouble.needed.as_deref()),
            match trouble.failures {
                1 => "one message was".to_owned(),
                failures => format!("{failures} messages were"),
            }
        )
    });
    let mut text: String = lines.collect();
    let more = troubles.len().saturating_sub(MOST_TROUBLES);
    if more > 0 {
        let _ = write!(text, "\n… and {more} channels more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{MOST_TROUBLES, troubled};
    use crate::database::Trouble;

    #[test]
    fn troubles_that_are_not_shown_are_counted() {
        let troubles = |count: usize| -> Vec<Trouble> {
            let trouble = |number| Trouble {
                channel: format!("#c{number}"),
                error: "is_archived".to_owned(),
                needed: None,
                failures: 1,
            };
            (0..count).map(trouble).collect()
        };
        let shown = troubled(&troubles(MOST_TROUBLES));
        assert_eq!(
            shown.lines().filter(|line| line.contains(":x:")).count(),
            MOST_TROUBLES
        );
        assert!(!shown.contains("more"), "{shown}");
        let shown = troubled(&troubles(MOST_TROUBLES + 3));
        assert!(shown.ends_with("\n… and 3 channels more"), "{shown}");
    }
}
